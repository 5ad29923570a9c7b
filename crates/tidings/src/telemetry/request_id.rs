//! The id of a request: the one that a proxy in front of the hub gave it, or a new one.
//!
//! Proxies and applications name a request once and pass the name on in `X-Request-Id`, so that the lines
//! of all of them are found by one search. A name is taken only if it cannot hurt a log or a response.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field of requests and responses.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id that is taken.
const BYTES_MAX: usize = 128;

/// Returns the id that the request has, or a new one of 16 hexadecimal digits.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(X_REQUEST_ID);
    given
        .filter(|value| is_plain(value))
        .cloned()
        .unwrap_or_else(made)
}

fn is_plain(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(plain)
}

/// Guessing the next one does no harm.
fn made() -> HeaderValue {
    let id = format!("{:016x}", fastrand::u64(..));
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_unless_it_could_hurt() {
        for (given, taken) in [
            ("7f3c-1.a:b/c+d=e@f_g", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            (&"x".repeat(BYTES_MAX), true),
            (&"x".repeat(BYTES_MAX + 1), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(given).unwrap());
            let id = of(&headers);
            assert_eq!(id == given, taken, "{given}");
            assert!(taken || id.len() == 16, "{id:?}");
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
