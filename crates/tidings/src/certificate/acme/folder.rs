//! What survives a restart: the account, an order under way, the certificate with its key. One folder for each
//! authority, so that another one starts afresh.
//!
//! docs/formats/acme.md describes the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tidings_auth::private_file;
use url::Url;

use crate::certificate::pair::{self, CertificateError};

const ACCOUNT: &str = "account.json";
const ORDER: &str = "order.json";
const CERTIFICATE: &str = "certificate.pem";

/// The folder of one authority.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// An order that was begun.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) url: String,
    pub(super) names: Vec<String>,
    /// The private key of the certificate that is ordered, in PEM.
    pub(super) key: String,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("{path} is damaged, remove it: {source}")]
    Damaged {
        path: String,
        source: serde_json::Error,
    },
}

impl Folder {
    /// Makes the folder of a directory's authority. It is created at the first write.
    pub(super) fn new(data_dir: &Path, directory: &Url) -> Self {
        let name = directory.as_str();
        let name = name.split_once("://").map_or(name, |(_scheme, rest)| rest);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let name: String = name
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        // Neither hidden nor the folder above.
        let name = name.trim_matches(['-', '.']);
        Self {
            path: data_dir.join("acme").join(name),
        }
    }

    /// Returns the certificate, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub(super) fn certificate(&self) -> Result<Option<CertifiedKey>, CertificateError> {
        let path = self.path.join(CERTIFICATE);
        if !path.exists() {
            return Ok(None);
        }
        pair::load(&path, &path).map(Some)
    }

    /// Returns the text of the certificate and its key, if there is one that can be read.
    pub(super) fn text(&self) -> Option<String> {
        fs::read_to_string(self.path.join(CERTIFICATE)).ok()
    }

    /// Stores a certificate chain with its key, in one file, so that both change at once.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn save_certificate(&self, key: &str, chain: &str) -> Result<(), FolderError> {
        self.write(CERTIFICATE, format!("{key}{chain}").as_bytes())
    }

    /// Returns the account, if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, FolderError> {
        self.read(ACCOUNT)
    }

    /// Stores the account.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn save_account(&self, account: &AccountCredentials) -> Result<(), FolderError> {
        self.write_json(ACCOUNT, account)
    }

    /// Removes the account, which the authority does not know any more.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub(super) fn remove_account(&self) -> Result<(), FolderError> {
        self.remove(ACCOUNT)
    }

    /// Returns the order that was begun, if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub(super) fn order(&self) -> Result<Option<Begun>, FolderError> {
        self.read(ORDER)
    }

    /// Stores an order, before anything of it is answered.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn save_order(&self, order: &Begun) -> Result<(), FolderError> {
        self.write_json(ORDER, order)
    }

    /// Removes the order, which is over.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub(super) fn remove_order(&self) -> Result<(), FolderError> {
        self.remove(ORDER)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let path = self.path.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file_error(&path, source)),
        };
        match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(FolderError::Damaged {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let text = serde_json::to_vec(value).map_err(io::Error::other);
        let text = text.map_err(|source| file_error(&self.path.join(name), source))?;
        self.write(name, &text)
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        private_file::write(&path, contents).map_err(|source| file_error(&path, source))
    }

    fn remove(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        private_file::remove(&path).map_err(|source| file_error(&path, source))
    }
}

fn file_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::File {
        path: path.display().to_string(),
        source,
    }
}
