//! Who this hub is for the others: a name that lives as long as its history, and one for each start.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tidings_cluster::engine::{BootId, NodeId, Sender};
use tidings_history::Kind;

/// Why a hub has no name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The file beside the history.
    #[error("the name of this hub cannot be kept in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No random bytes.
    #[error("the system provides no random bytes")]
    Random(#[from] getrandom::Error),
}

/// Returns the names of this start. A history in memory has a new one each time.
///
/// # Errors
///
/// The file beside the history cannot be read or written, or the system has no random bytes.
pub(super) fn of(history: &Kind) -> Result<Sender, IdentityError> {
    let node = match history {
        Kind::File { path } => {
            let path = beside(path);
            kept(&path).map_err(|source| IdentityError::File { path, source })?
        }
        Kind::Memory | Kind::None => NodeId::new(random()?),
    };
    let boot = BootId::new(random()?);
    Ok(Sender { node, boot })
}

/// Returns eight random bytes.
pub(super) fn random() -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// Returns the file with the name of the hub whose history is at `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".node");
    name.into()
}

/// Reads the name, or makes one where there is none that can be read.
fn kept(path: &Path) -> io::Result<NodeId> {
    match fs::read_to_string(path) {
        Ok(text) => {
            if let Some(node) = NodeId::parse(text.trim()) {
                return Ok(node);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let node = NodeId::new(random().map_err(io::Error::other)?);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = fs::File::create(&new)?;
    writeln!(file, "{node}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_keeps_its_name_as_long_as_its_history() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/history.db");
        let kind = Kind::File { path: path.clone() };
        let (first, second) = (of(&kind).unwrap(), of(&kind).unwrap());
        assert_eq!(first.node, second.node);
        assert_ne!(first.boot, second.boot);
        // A write that was cut short.
        fs::write(beside(&path), "12").unwrap();
        let third = of(&kind).unwrap();
        assert_ne!(third.node, first.node);
        assert_eq!(of(&kind).unwrap().node, third.node);
        assert_ne!(
            of(&Kind::Memory).unwrap().node,
            of(&Kind::Memory).unwrap().node
        );
    }
}
