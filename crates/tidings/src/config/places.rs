//! Checks of the machine for a configuration: folders are writable, secrets are not readable by
//! others. Opens and creates nothing.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use tidings_auth::key_set::Source;
use tidings_history::Kind;

use super::Config;
use super::error::ConfigError;
use super::keys::{self, Form};
use super::settings::{Origin, Settings};
use crate::certificate::Source as Certificate;

/// Why this process cannot use a folder or file.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{} is not a folder: name one, or remove the file", path.display())]
    NotAFolder { path: PathBuf },
    #[error("{} is a folder: name a file in it", path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "{} cannot be written by this process ({}): {error}. It {owner}; give it to that user, or \
         to one of its groups with mode g+rwX", path.display(), Myself
    )]
    Unwritable {
        path: PathBuf,
        error: rustix::io::Errno,
        owner: Owner,
    },
}

/// The owner and the permissions of a file.
#[derive(Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// The user and groups of this process.
struct Myself;

/// Checks that the hub can write where it must: the history, the cache of key sets, an authority's certificate.
///
/// # Errors
///
/// The key whose folder or file this process cannot write, with the process's user and the owner.
pub fn check_writable(config: &Config) -> Result<(), ConfigError> {
    let keeps_key_sets = !config.key_sets_cache.is_zero()
        && config
            .auth
            .key_sets()
            .iter()
            .any(|set| matches!(set.source(), Source::Url(_)));
    let keeps_certificate = matches!(config.tls, Some(Certificate::Acme(_)));
    if keeps_key_sets || keeps_certificate {
        folder(&config.data_dir).map_err(|reason| invalid("data.dir", reason))?;
    }
    let Kind::File { path } = &config.history.kind else {
        return Ok(());
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let in_data = parent == config.data_dir;
    let key = if in_data { "data.dir" } else { "history.path" };
    folder(parent).map_err(|reason| invalid(key, reason))?;
    for suffix in ["", ".lock", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        file(Path::new(&name)).map_err(|reason| invalid(key, reason))?;
    }
    Ok(())
}

/// Returns a warning for each file with a secret that every user of the machine may read.
pub fn readable_secrets(settings: &Settings, file: Option<&Path>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut look = |key: &str, path: &Path| {
        if let Some(mode) = readable_by_all(path) {
            let path = path.display();
            warnings.push(format!(
                "{key}: every user of this machine may read {path} (mode {mode:04o}): chmod o-rwx it"
            ));
        }
    };
    for (place, entry) in settings.entries() {
        let (key, place) = (place.general(), place.to_string());
        if is_public_key(settings, &place) {
            continue;
        }
        if SECRET_FILES.contains(&key.as_str()) {
            look(&place, Path::new(entry.value.as_str().unwrap_or_default()));
        }
        let is_secret = keys::find(&key).is_some_and(|known| known.form == Form::Secret);
        if let Some(file) = file.filter(|_| entry.origin == Origin::File)
            && is_secret
        {
            look(&place, file);
        }
    }
    warnings
}

/// Returns whether a place holds, or names the file of, an issuer's public key.
fn is_public_key(settings: &Settings, place: &str) -> bool {
    let Some((issuer, "key" | "key_file")) = place.rsplit_once('.') else {
        return false;
    };
    let algorithm = settings.find(&format!("{issuer}.algorithm"));
    let algorithm = algorithm.and_then(|entry| entry.value.as_str());
    algorithm.is_some_and(|name| !name.starts_with("HS"))
}

/// Keys that name a file with a secret.
const SECRET_FILES: [&str; 9] = [
    "admin.token_file",
    "auth.issuers.N.key_file",
    "cluster.credentials_file",
    "cluster.key_file",
    "cluster.nkey_file",
    "cluster.password_file",
    "cluster.sentinel_password_file",
    "tls.acme.eab_key_file",
    "tls.key",
];

fn invalid(key: &str, reason: Unusable) -> ConfigError {
    ConfigError::Invalid {
        key: key.to_owned(),
        reason: reason.into(),
    }
}

/// Checks that files can be made in a folder, or that the folder can be made.
fn folder(path: &Path) -> Result<(), Unusable> {
    let there = path.ancestors().find(|path| path.exists());
    let there = match there {
        Some(path) => path,
        None => Path::new("."),
    };
    if !there.is_dir() {
        let path = there.to_owned();
        return Err(Unusable::NotAFolder { path });
    }
    writable(there, Access::WRITE_OK | Access::EXEC_OK)
}

fn file(path: &Path) -> Result<(), Unusable> {
    if path.is_dir() {
        let path = path.to_owned();
        return Err(Unusable::NotAFile { path });
    }
    match path.exists() {
        true => writable(path, Access::READ_OK | Access::WRITE_OK),
        false => Ok(()),
    }
}

fn writable(path: &Path, access: Access) -> Result<(), Unusable> {
    let Err(error) = accessat(CWD, path, access, AtFlags::EACCESS) else {
        return Ok(());
    };
    let owner = std::fs::metadata(path).map_or(
        Owner {
            uid: 0,
            gid: 0,
            mode: 0,
        },
        |metadata| Owner {
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode() & 0o7777,
        },
    );
    Err(Unusable::Unwritable {
        path: path.to_owned(),
        error,
        owner,
    })
}

/// Returns the mode of a file that everybody may read, and reach through all its folders.
fn readable_by_all(path: &Path) -> Option<u32> {
    let path = path.canonicalize().ok()?;
    let mode = |path: &Path| Some(std::fs::metadata(path).ok()?.mode() & 0o7777);
    let reachable = |folder: &Path| mode(folder).is_some_and(|mode| mode & 0o001 != 0);
    let mode = mode(&path).filter(|mode| mode & 0o004 != 0)?;
    path.ancestors().skip(1).all(reachable).then_some(mode)
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, gid, mode } = self;
        write!(f, "belongs to uid {uid}, gid {gid}, mode {mode:04o}")
    }
}

impl fmt::Display for Myself {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        write!(f, "uid {}, gid {}", uid.as_raw(), gid.as_raw())?;
        for group in rustix::process::getgroups().unwrap_or_default() {
            if group != gid {
                write!(f, ", group {}", group.as_raw())?;
            }
        }
        Ok(())
    }
}
