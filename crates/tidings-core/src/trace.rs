//! The trace that an update belongs to.
//!
//! W3C Trace Context, 3.2.

use std::fmt;

/// Where in a trace an update was published: the trace, the publisher's span, and whether it is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// The length of a field of version 00.
const FIELD_BYTES: usize = 55;

impl TraceContext {
    /// Makes the context of a span.
    ///
    /// `None` if an id is all zeros, which means that there is none.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<Self> {
        let is_there = trace_id != [0; 16] && span_id != [0; 8];
        is_there.then_some(Self {
            trace_id,
            span_id,
            flags: u8::from(sampled),
        })
    }

    /// Reads a `traceparent`. One that breaks a rule is none, as the standard wants it.
    ///
    /// Of a version after 00, the parts that 00 has are read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim().as_bytes();
        let (field, rest) = bytes.split_at_checked(FIELD_BYTES)?;
        let version = hex::<1>(field.get(..2)?)?;
        let extended = version != [0] && rest.first() == Some(&b'-');
        if version == [0xff] || !(rest.is_empty() || extended) {
            return None;
        }
        let dashes = [2, 35, 52];
        if dashes.iter().any(|at| field.get(*at) != Some(&b'-')) {
            return None;
        }
        let [flags] = hex::<1>(field.get(53..55)?)?;
        let trace_id = hex(field.get(3..35)?)?;
        let span_id = hex(field.get(36..52)?)?;
        Self::new(trace_id, span_id, flags & SAMPLED != 0)
    }

    /// Returns the same span of the same trace, which is recorded.
    #[must_use]
    pub const fn sampled(mut self) -> Self {
        self.flags |= SAMPLED;
        self
    }

    /// Returns the trace.
    #[must_use]
    pub const fn trace_id(&self) -> &[u8; 16] {
        &self.trace_id
    }

    /// Returns the span that published.
    #[must_use]
    pub const fn span_id(&self) -> &[u8; 8] {
        &self.span_id
    }

    /// Returns whether the trace is recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns 25 bytes: the trace, the span, the flags.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 25] {
        let mut bytes = [0; 25];
        let parts = self.trace_id.iter().chain(&self.span_id);
        for (byte, part) in bytes.iter_mut().zip(parts.chain([&self.flags])) {
            *byte = *part;
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) made.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk::<16>()?;
        let (span_id, flags) = rest.split_first_chunk::<8>()?;
        let [flags] = flags else { return None };
        Self::new(*trace_id, *span_id, flags & SAMPLED != 0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

/// Reads bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let mut pairs = text.chunks_exact(2);
    for byte in &mut bytes {
        let [high, low] = pairs.next()? else {
            return None;
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
