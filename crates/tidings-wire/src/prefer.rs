//! Parses the preference `wait` in `Prefer` fields.

/// Returns how many seconds a request is willing to wait for an answer, from its `Prefer` fields;
/// `None` if they do not say so in digits. The first `wait` counts.
///
/// RFC 7240, 2 and 4.3.
pub fn wait<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<u64> {
    let preferences = fields.into_iter().flat_map(|field| parts(field, b','));
    let mut named = preferences.filter_map(|preference| {
        // Parameters of a preference are not preferences.
        let own = parts(preference, b';').next()?;
        let (name, word) = match own.iter().position(|byte| *byte == b'=') {
            Some(equals) => own.split_at(equals),
            None => (own, &[][..]),
        };
        let word = word.strip_prefix(b"=").unwrap_or(word);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"wait")
            .then_some(word.trim_ascii())
    });
    seconds(unquoted(named.next()?))
}

/// Splits a field at each `separator` outside quotes.
fn parts(field: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    field.split(move |byte| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !literal => escaped = true,
            b'"' if !literal => quoted = !quoted,
            _ => return *byte == separator && !quoted,
        }
        false
    })
}

fn unquoted(word: &[u8]) -> &[u8] {
    let inner = word.strip_prefix(b"\"");
    inner
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(word)
}

/// Reads `delta-seconds`. A number that does not fit counts as the largest one (RFC 9111, 1.2.2).
fn seconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    };
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests;
