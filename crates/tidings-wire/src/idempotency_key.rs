//! The field `Idempotency-Key`: a text by which a publisher's repeated request is recognised.

/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 255;

/// Why a field is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are several fields.
    #[error("the request has several Idempotency-Key fields: send one")]
    Several,
    /// It is empty, too long, or has bytes that a key cannot have.
    #[error(
        "an Idempotency-Key is 1 to {KEY_BYTES_MAX} visible ASCII characters, with or without \
         double quotes around them; a random UUID is a good one"
    )]
    Form,
}

/// Reads the key from the `Idempotency-Key` fields of a request: a structured string, or the bare
/// text that many clients send. Quotes are not part of the key, and neither form has escapes.
///
/// `draft-ietf-httpapi-idempotency-key-header`, 2.1; RFC 9651, 3.3.3.
///
/// # Errors
///
/// [`KeyError`] if there are several fields, or the text cannot be a key.
pub fn parse<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, KeyError> {
    let mut fields = fields.into_iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(KeyError::Several);
    }
    let field = field.trim_ascii();
    let quoted = field.strip_prefix(b"\"");
    let inner = match quoted {
        Some(rest) => rest.strip_suffix(b"\"").ok_or(KeyError::Form)?,
        None => field,
    };
    let text = std::str::from_utf8(inner).map_err(|_not_utf8| KeyError::Form)?;
    check(text).map(Some)
}

/// Checks a key that came as a text.
///
/// # Errors
///
/// [`KeyError::Form`] if it cannot be a key.
pub fn check(text: &str) -> Result<&str, KeyError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain);
    fits.then_some(text).ok_or(KeyError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_structured_string_or_bare() {
        for (field, key) in [
            (
                "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            ("order/17:paid", "order/17:paid"),
            (" a ", "a"),
        ] {
            assert_eq!(parse([field.as_bytes()]), Ok(Some(key)));
        }
        assert_eq!(parse([]), Ok(None));
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for field in ["", "\"\"", "\"a", "a\"", "a b", "a\\b", "é", "\u{1}", &long] {
            assert_eq!(parse([field.as_bytes()]), Err(KeyError::Form), "{field:?}");
        }
        assert_eq!(parse([b"\xff".as_slice()]), Err(KeyError::Form));
        assert_eq!(parse([b"a".as_slice(), b"a"]), Err(KeyError::Several));
    }
}
