//! How formats of a cluster write numbers, texts and lists, and read them back.

/// Appends a number in LEB128: at most 10 bytes.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Appends a text: its length as a number, and its bytes.
pub(crate) fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    put_number(bytes, text.len() as u64);
    bytes.extend(text);
}

/// What was not read yet.
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

/// Why something cannot be read: it ends within this part, or has a value there that nobody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Truncated(&'static str),
    Invalid(&'static str),
}

impl<'a> Rest<'a> {
    pub(crate) fn take(
        &mut self,
        length: usize,
        part: &'static str,
    ) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Unreadable::Truncated(part))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self, part: &'static str) -> Result<u8, Unreadable> {
        let byte = self.take(1, part)?;
        byte.first().copied().ok_or(Unreadable::Truncated(part))
    }

    pub(crate) fn number(&mut self, part: &'static str) -> Result<u64, Unreadable> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(part)?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Unreadable::Invalid(part));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Invalid(part))
    }

    pub(crate) fn bytes(&mut self, part: &'static str) -> Result<&'a [u8], Unreadable> {
        let length = self.number(part)?;
        let length = usize::try_from(length).map_err(|_large| Unreadable::Truncated(part))?;
        self.take(length, part)
    }

    pub(crate) fn text(&mut self, part: &'static str) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes(part)?).map_err(|_invalid| Unreadable::Invalid(part))
    }

    pub(crate) fn parsed<T>(
        &mut self,
        part: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Unreadable> {
        parse(self.text(part)?).ok_or(Unreadable::Invalid(part))
    }

    /// Reads a list. What it holds is checked by its bytes, before there is room for its length.
    pub(crate) fn texts<T>(
        &mut self,
        part: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Unreadable> {
        let count = self.number(part)?;
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.parsed(part, &parse)?);
        }
        Ok(texts)
    }
}
