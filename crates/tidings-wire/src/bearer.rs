//! Parses `Authorization` fields with bearer tokens.
//!
//! The token itself is not parsed.

/// The content of a request's `Authorization` fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// The scheme is `Bearer`, with this token.
    Bearer(&'a str),
    /// The fields break RFC 6750 or RFC 9110.
    Malformed(Malformed),
}

/// The rule that an `Authorization` field breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is more than one field; the field does not allow a list.
    #[error("more than one Authorization field")]
    Repeated,
    /// The field does not begin with the name of an authentication scheme.
    #[error("no authentication scheme in the Authorization field")]
    Scheme,
    /// The scheme is not `Bearer`.
    #[error(
        "the Authorization field has another scheme than Bearer, and no cookie counts beside the \
         field: keep the credentials of a proxy (Basic) from the hub"
    )]
    OtherScheme,
    /// The scheme is `Bearer`, but no token follows.
    #[error("no token in the Authorization field")]
    NoToken,
    /// The text after `Bearer` contains a character that is not allowed in a token.
    #[error("a character in the Authorization field that no bearer token has")]
    Token,
}

/// Reads the values of all `Authorization` fields of a request; `None` if there is none.
///
/// RFC 9110, 5.3 and 11.6.2.
pub fn parse_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Authorization<'a>> {
    let mut values = values.into_iter();
    let first = values.next()?;
    match values.next() {
        None => Some(parse(first)),
        Some(_) => Some(Authorization::Malformed(Malformed::Repeated)),
    }
}

/// Reads the value of one `Authorization` field.
///
/// The scheme is compared without regard to ASCII case; a token is
/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
///
/// RFC 6750, 2.1; RFC 9110, 11.4.
pub fn parse(value: &[u8]) -> Authorization<'_> {
    let Ok(value) = std::str::from_utf8(value) else {
        return Authorization::Malformed(Malformed::Token);
    };
    let value = value.trim_matches([' ', '\t']);
    let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.is_empty() || !scheme.bytes().all(is_token_character) {
        return Authorization::Malformed(Malformed::Scheme);
    }
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Authorization::Malformed(Malformed::OtherScheme);
    }
    let token = credentials.trim_start_matches(' ');
    match token.trim_end_matches('=') {
        _ if token.is_empty() => Authorization::Malformed(Malformed::NoToken),
        body if !body.is_empty() && is_b64token(body) => Authorization::Bearer(token),
        _ => Authorization::Malformed(Malformed::Token),
    }
}

/// Returns whether `text` has only the characters of a bearer token before its padding.
///
/// Looks at all bytes without branching: tokens are long, usually valid, and sent with every
/// request. RFC 6750, 2.1.
fn is_b64token(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+');
    text.bytes().fold(true, |all, byte| all & allowed(byte))
}

/// Returns whether `byte` may occur in an HTTP token, such as a field name. RFC 9110, 5.6.2.
pub(crate) fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
