//! The mark in an update's data that lets receivers check it, and the search for marks in a stream.
//!
//! A mark is `~`, six digits of the topic's number, ten of the update's number within the topic,
//! and twenty of the nanosecond that the update was due. Marks are found without parsing the
//! framing around them: the conformance tests check the framing, and parsing it would cost the
//! generator more than writing it costs the hub.

const TOPIC_DIGITS: usize = 6;
const NUMBER_DIGITS: usize = 10;
const TIME_DIGITS: usize = 20;
/// Bytes of a mark.
pub(crate) const MARK_BYTES: usize = 1 + TOPIC_DIGITS + NUMBER_DIGITS + TIME_DIGITS;

/// What an update contains about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The topic it was published to, as a number within the run.
    pub(crate) topic: u32,
    /// Its number among the updates of the topic, from 0.
    pub(crate) number: u32,
    /// When it was due, in the time of [`now_ns`](crate::clock::now_ns).
    pub(crate) due_ns: u64,
}

impl Mark {
    /// Writes the mark and pads it with letters to `data_bytes`.
    pub(crate) fn write(self, out: &mut Vec<u8>, data_bytes: usize) {
        let Self {
            topic,
            number,
            due_ns,
        } = self;
        let end = out.len() + data_bytes.max(MARK_BYTES);
        out.extend_from_slice(format!("~{topic:06}{number:010}{due_ns:020}").as_bytes());
        out.resize(end, b'x');
    }

    /// Reads the mark at the beginning of `bytes`, if a complete one is there.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"~")?;
        let (topic, bytes) = digits(bytes, TOPIC_DIGITS)?;
        let (number, bytes) = digits(bytes, NUMBER_DIGITS)?;
        let (due_ns, _) = digits(bytes, TIME_DIGITS)?;
        let (topic, number) = (u32::try_from(topic).ok()?, u32::try_from(number).ok()?);
        Some(Self {
            topic,
            number,
            due_ns,
        })
    }
}

fn digits(bytes: &[u8], count: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some((value, rest))
}

/// Finds marks in a stream that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// The beginning of an incomplete mark. It is empty, and takes no memory, for nearly all of a
    /// connection's life.
    beginning: Vec<u8>,
}

impl Scanner {
    /// Scans the next piece and calls `on_mark` for each mark that it completes.
    pub(crate) fn scan(&mut self, piece: &[u8], on_mark: impl FnMut(Mark)) {
        if self.beginning.is_empty() {
            self.scan_joined(piece, on_mark);
        } else {
            // This copies, but rarely: most pieces end between two updates.
            let mut joined = std::mem::take(&mut self.beginning);
            joined.extend_from_slice(piece);
            self.scan_joined(&joined, on_mark);
        }
    }

    fn scan_joined(&mut self, bytes: &[u8], mut on_mark: impl FnMut(Mark)) {
        let mut rest = bytes;
        while let Some(place) = memchr::memchr(b'~', rest) {
            let (_, from) = rest.split_at_checked(place).unwrap_or((rest, &[]));
            if from.len() < MARK_BYTES {
                self.beginning = from.to_vec();
                return;
            }
            let mark = Mark::read(from);
            let skip = if mark.is_some() { MARK_BYTES } else { 1 };
            mark.into_iter().for_each(&mut on_mark);
            rest = from.split_at_checked(skip).map_or(&[], |(_, rest)| rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_the_stream_is_cut() {
        let first = Mark {
            topic: 3,
            number: 7,
            due_ns: 12_345_678_901,
        };
        let second = Mark {
            topic: 999_999,
            number: u32::MAX,
            due_ns: u64::MAX,
        };
        let mut stream = b"id: 1\ndata: ".to_vec();
        first.write(&mut stream, 120);
        stream.extend_from_slice(b"\n\n:\nid: 2~2\ndata: ");
        second.write(&mut stream, 0);
        stream.extend_from_slice(b"\n\n");
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            let (mut scanner, mut found) = (Scanner::default(), Vec::new());
            scanner.scan(head, |mark| found.push(mark));
            scanner.scan(tail, |mark| found.push(mark));
            assert_eq!(found, [first, second], "cut at {cut}");
        }
    }
}
