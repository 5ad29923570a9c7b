//! The names of streams and subjects.

use std::fmt::Write as _;

use tidings_access::Name;
use tidings_cluster::engine::{Key, Sender};
use tidings_core::Print;

/// The streams of a cluster, named after it.
#[derive(Debug)]
pub(crate) struct Names {
    /// The stream of the line.
    pub(crate) line: String,
    /// The stream of leases.
    pub(crate) leases: String,
}

impl Names {
    /// Neither a point nor an equals sign may be in both: a stream's name is one token of a subject.
    pub(crate) fn new(name: &Name) -> Self {
        let line = format!("tidings_{}", name.to_string().replace('.', "=="));
        Self {
            leases: format!("{line}=leases"),
            line,
        }
    }

    /// Returns what an incarnation of the line's stream listens to.
    pub(crate) fn subjects(&self, incarnation: &str) -> String {
        format!("{}.{incarnation}.>", self.line)
    }

    /// Returns the subject of an entry: by its key it is found again, by its batch it is known whether
    /// the batch came before, and by the print of the batch's last entry no other batch has the subject.
    pub(crate) fn entry(
        &self,
        incarnation: &str,
        key: Option<&Key>,
        batch: &str,
        print: Print,
    ) -> String {
        let key = key_token(key);
        format!(
            "{}.{incarnation}.{key}.{batch}.{}",
            self.line,
            hex(&print.bytes())
        )
    }

    /// Returns a filter for what has the key, of whichever batch, or was sent with the batch.
    pub(crate) fn with_key(&self, key: Option<&Key>, batch: &str) -> String {
        format!("{}.*.{}.{batch}.*", self.line, key_token(key))
    }

    /// Returns the subject of a node's lease.
    pub(crate) fn node(&self, holder: Sender) -> String {
        format!("{}.n.{}", self.leases, token(holder))
    }

    /// Returns the subject of a named lease.
    pub(crate) fn held(&self, name: &str) -> String {
        format!("{}.h.{name}", self.leases)
    }

    /// Reads the node of a subject.
    pub(crate) fn holder_of(&self, subject: &str) -> Option<Sender> {
        let rest = subject.strip_prefix(&self.leases)?.strip_prefix(".n.")?;
        sender(rest)
    }
}

/// A batch that was put back, of whomever.
pub(crate) const RESTORED: &str = "r";
/// Every batch.
pub(crate) const ANY: &str = "*";
const NO_KEY: &str = "-";

fn key_token(key: Option<&Key>) -> String {
    key.map_or_else(|| NO_KEY.to_owned(), |key| hex(key.bytes()))
}

/// Returns the name of a start of a hub.
pub(crate) fn token(sender: Sender) -> String {
    format!("{}-{}", sender.node, sender.boot)
}

/// Returns the name of a batch.
pub(crate) fn batch(sender: Sender, number: u64) -> String {
    format!("{}-{number}", token(sender))
}

/// Reads what [`token`] wrote.
pub(crate) fn sender(text: &str) -> Option<Sender> {
    let (node, boot) = text.split_once('-')?;
    Some(Sender {
        node: tidings_cluster::engine::NodeId::parse(node)?,
        boot: tidings_cluster::engine::BootId::parse(boot)?,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok());
    }
    text
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
