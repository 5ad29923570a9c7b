//! Redacts secrets in texts that leave the process, such as log lines.
//!
//! [`text`] hides secrets that are recognisable by their form: access tokens, credentials after
//! `Bearer` or `Basic`, user and password in a URL. Every log line and every error passes through
//! it, as the last line of defence. [`query`] and [`url()`] hide more, because they know the
//! structure of their input.

use std::borrow::Cow;

use crate::form;

/// The text that replaces a secret.
const HIDDEN: &str = "hidden";

/// Query parameters whose values are hidden: in lower case, without `-` and `_`, and without the
/// text from a `[` on.
const SECRET_NAMES: [&str; 30] = [
    "accesstoken",
    "apikey",
    "apitoken",
    "assertion",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "bearertoken",
    "clientassertion",
    "clientsecret",
    "code",
    "credential",
    "credentials",
    "idtoken",
    "jsessionid",
    "jwt",
    "key",
    "mercureaccesstoken",
    "mercureauthorization",
    "passwd",
    "password",
    "phpsessid",
    "pwd",
    "refreshtoken",
    "secret",
    "sessionid",
    "sig",
    "signature",
    "token",
];

/// The minimum length of a token, in bytes. Shorter texts that look like one are not hidden.
const TOKEN_BYTES_MIN: usize = 20;
/// The minimum length of credentials after `Bearer` or `Basic`, in bytes. Shorter texts are words
/// of a sentence.
const CREDENTIALS_BYTES_MIN: usize = 16;

/// Returns `text` in which `hidden` replaces every access token, credentials after `Bearer` or
/// `Basic`, and user and password in a URL.
pub fn text(text: &str) -> Cow<'_, str> {
    match bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // Each removed part begins and ends with ASCII, so the rest is still UTF-8.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Does the same as [`text`] for bytes that may not be UTF-8, such as a header field.
pub fn bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut copied, mut at) = (0, 0);
    // The end of the last run of characters that contains no token, so that no byte is scanned
    // twice.
    let mut barren = 0;
    while at < bytes.len() {
        match secret_at(bytes, at, &mut barren) {
            Some((start, end)) => {
                out.extend_from_slice(bytes.get(copied..start).unwrap_or_default());
                out.extend_from_slice(HIDDEN.as_bytes());
                (copied, at) = (end, end);
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Returns a query in which `hidden` replaces the values of secret parameters, however their names
/// are written, and everything that [`bytes()`] hides.
pub fn query(query: &[u8]) -> Vec<u8> {
    let pairs = query.split(|&byte| byte == b'&').map(|pair| {
        let name = form::pairs(pair).next().map(form::Pair::name_bytes);
        if name.is_some_and(|name| is_secret_name(&name)) {
            let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
            return [name, b"=", HIDDEN.as_bytes()].concat();
        }
        bytes(pair).into_owned()
    });
    pairs.collect::<Vec<_>>().join(&b'&')
}

/// Returns a URL, from the configuration or of another page, without user, password, query and
/// fragment.
pub fn url(url: &str) -> String {
    String::from_utf8_lossy(&url_bytes(url.as_bytes())).into_owned()
}

/// Does the same as [`url()`] for bytes that may not be UTF-8.
pub fn url_bytes(url: &[u8]) -> Vec<u8> {
    let end = url.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let Some(end) = end else {
        return bytes(url).into_owned();
    };
    let (place, rest) = url.split_at_checked(end).unwrap_or((url, &[]));
    let mark = rest.get(..1).unwrap_or_default();
    let said: &[u8] = if rest.len() > 1 {
        HIDDEN.as_bytes()
    } else {
        &[]
    };
    [&bytes(place), mark, said].concat()
}

fn is_secret_name(name: &[u8]) -> bool {
    let name = name.split(|&byte| byte == b'[').next().unwrap_or_default();
    let letters: Vec<u8> = name
        .iter()
        .filter(|byte| !matches!(byte, b'-' | b'_'))
        .map(u8::to_ascii_lowercase)
        .collect();
    SECRET_NAMES
        .iter()
        .any(|secret| secret.as_bytes() == letters)
}

/// Returns the start and end of a secret that is recognised at `at`.
fn secret_at(bytes: &[u8], at: usize, barren: &mut usize) -> Option<(usize, usize)> {
    match bytes.get(at)? {
        b'e' => token(bytes, at, barren),
        b'b' | b'B' => credentials(bytes, at),
        b':' => userinfo(bytes, at),
        _ => None,
    }
}

/// Finds a token in compact form: parts of base64url separated by dots, the first of which is a
/// JSON object. RFC 7515, 7.1; RFC 7516, 7.1.
fn token(bytes: &[u8], at: usize, barren: &mut usize) -> Option<(usize, usize)> {
    let first: &[u8; 3] = bytes.get(at..)?.first_chunk()?;
    // `{` followed by a quotation mark, a space, a tab or a line break.
    let object = match first {
        [b'e', b'y', third] => matches!(third, b'I'..=b'L' | b'A'..=b'D'),
        [b'e', b'w', third] => matches!(third, b'k'..=b'r' | b'0'..=b'3'),
        _ => false,
    };
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let alone = !before.is_some_and(u8::is_ascii_alphanumeric);
    if !object || (!alone && at < *barren) {
        return None;
    }
    let mut end = at;
    let mut dots = 0;
    while let Some(&byte) = bytes.get(end) {
        let escaped = bytes.get(end..end + 3).map(<[u8]>::to_ascii_lowercase);
        match (byte, escaped.as_deref()) {
            (b'.', _) => (end, dots) = (end + 1, dots + 1),
            (_, Some(b"%2e")) => (end, dots) = (end + 3, dots + 1),
            (_, Some(b"%3d" | b"%2d" | b"%5f")) => end += 3,
            (b'=' | b'-' | b'_', _) => end += 1,
            _ if byte.is_ascii_alphanumeric() => end += 1,
            _ => break,
        }
    }
    if dots == 0 {
        *barren = end;
    }
    let long = end - at >= TOKEN_BYTES_MIN;
    (long && (dots > 0 || alone)).then_some((at, end))
}

/// Finds the credentials after `Bearer` or `Basic`. RFC 9110, 11.4.
fn credentials(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let scheme = [&b"bearer"[..], b"basic"].into_iter().find(|scheme| {
        let word = bytes.get(at..at + scheme.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(scheme))
    })?;
    let mut start = at + scheme.len();
    loop {
        match bytes.get(start..)? {
            [b' ' | b'+' | b':', ..] => start += 1,
            [b'%', b'2', b'0', ..] => start += 3,
            _ => break,
        }
    }
    if start == at + scheme.len() {
        return None;
    }
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(byte);
    let length = bytes.get(start..)?.iter().take_while(part).count();
    (length >= CREDENTIALS_BYTES_MIN).then_some((start, start + length))
}

/// Finds the user and password between `://` and `@`. RFC 3986, 3.2.1.
fn userinfo(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + 3;
    let authority = bytes.get(at..)?.strip_prefix(b"://")?;
    let scheme = bytes.get(..at)?;
    // In `zmq://PULL@…` this is the socket type (`broker/data_source.rs`).
    if scheme.ends_with(b"zmq") || scheme.ends_with(b"zmq-bind") {
        return None;
    }
    let ends = |byte: &u8| {
        matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\\' | b'<' | b'>')
            || byte.is_ascii_whitespace()
    };
    let length = authority.iter().position(ends).unwrap_or(authority.len());
    let sign = authority
        .get(..length)?
        .iter()
        .rposition(|&byte| byte == b'@')?;
    (sign > 0).then_some((start, start + sign))
}

#[cfg(test)]
mod tests;
