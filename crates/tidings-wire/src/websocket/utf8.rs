//! Validates UTF-8 that arrives in chunks, and detects an error at the first invalid byte.

use std::str::from_utf8;

/// The state of a text that has arrived in part.
#[derive(Clone, Debug, Default)]
pub(super) struct Utf8Check {
    /// The bytes of a character that is not complete.
    started: [u8; 4],
    len: usize,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8Check {
    /// Checks the next bytes of the text.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if no continuation can make the text UTF-8.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            if let Some(place) = self.started.get_mut(self.len) {
                *place = byte;
            }
            self.len += 1;
            match from_utf8(self.started.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        let Err(error) = from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        // There are at most three bytes: four would be a character or an error.
        for (place, byte) in self
            .started
            .iter_mut()
            .zip(bytes.iter().skip(error.valid_up_to()))
        {
            *place = *byte;
            self.len += 1;
        }
        Ok(())
    }

    /// Checks that the text may end here.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if the last character is not complete.
    pub(super) fn finish(&self) -> Result<(), NotUtf8> {
        if self.len == 0 { Ok(()) } else { Err(NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_of_a_text_is_accepted() {
        let text = "κόσμε \u{10FFFF} é €";
        for split in 0..=text.len() {
            let mut check = Utf8Check::default();
            check.push(&text.as_bytes()[..split]).unwrap();
            check.push(&text.as_bytes()[split..]).unwrap();
            check.finish().unwrap();
        }
    }

    #[test]
    fn a_mistake_is_seen_at_its_byte() {
        for (good, bad) in [
            (&b"\xed"[..], 0xa0),
            (b"\xf4", 0x90),
            (b"a", 0xff),
            (b"\xe0", 0x80),
        ] {
            let mut check = Utf8Check::default();
            check.push(good).unwrap();
            assert_eq!(check.push(&[bad]), Err(NotUtf8));
        }
    }

    #[test]
    fn half_a_character_is_no_end() {
        let mut check = Utf8Check::default();
        check.push("€".as_bytes().split_last().unwrap().1).unwrap();
        assert_eq!(check.finish(), Err(NotUtf8));
    }
}
