//! The files in the data folder of `tidings dev` that other commands use: the key and the tokens.
//!
//! Only their owner can read them.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidings_auth::Issuer;
use tidings_auth::key::{Algorithm, VerifyKey};
use tidings_core::Dialect;

use crate::text_file::{self, without_line_break};

/// The data folder of a developer's hub.
#[derive(Debug)]
pub struct DevFolder(PathBuf);

/// The contents of `dev.json`: the hub that was started last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevHub {
    /// The hub's URL.
    pub hub: String,
    /// A token that may publish everything.
    pub publisher: String,
    /// A token that may read everything.
    pub subscriber: String,
}

impl DevFolder {
    /// Names a folder; nothing is opened.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Returns the key's text. The first call for a folder creates the key.
    pub fn key_or_new(&self) -> anyhow::Result<String> {
        self.secret_or_new(&self.key_path())
    }

    /// Returns the token of operators. The first call for a folder creates it.
    pub fn admin_token_or_new(&self) -> anyhow::Result<String> {
        self.secret_or_new(&self.admin_token_path())
    }

    /// Returns the token of operators.
    pub fn admin_token(&self) -> anyhow::Result<String> {
        secret(&self.admin_token_path())
    }

    fn secret_or_new(&self, path: &Path) -> anyhow::Result<String> {
        if path.exists() {
            return secret(path);
        }
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).context("the system provides no random bytes")?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("cannot make the folder {}", self.0.display()))?;
        write_private(path, &format!("{text}\n"))?;
        Ok(text)
    }

    /// Returns the key's text.
    pub fn key(&self) -> anyhow::Result<String> {
        secret(&self.key_path())
    }

    /// Returns the key with its issuer.
    pub fn issuer(&self) -> anyhow::Result<Issuer> {
        let key = VerifyKey::parse(Algorithm::Hs256, &self.key()?)
            .with_context(|| self.key_path().display().to_string())?;
        Ok(Issuer {
            issuer: ISSUER.into(),
            keys: key.into(),
            kid: None,
            publish: true,
            subscribe: true,
            dialects: vec![Dialect::V1, Dialect::V0, Dialect::V2019],
        })
    }

    /// Returns the path of the file with the hub's URL and tokens.
    pub fn hub_path(&self) -> PathBuf {
        self.0.join("dev.json")
    }

    /// Returns what the hub that was started last wrote about itself.
    pub fn hub(&self) -> anyhow::Result<DevHub> {
        let path = self.hub_path();
        let text =
            text_file::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes down the hub's URL and tokens for the other commands, and the publisher's token for
    /// `curl` and the like.
    pub fn write_hub(&self, hub: &DevHub) -> anyhow::Result<()> {
        write_private(&self.publisher_path(), &format!("{}\n", hub.publisher))?;
        write_private(
            &self.hub_path(),
            &format!("{}\n", serde_json::to_string_pretty(hub)?),
        )
    }

    /// Returns the path of the file with the token that may publish everything.
    pub fn publisher_path(&self) -> PathBuf {
        self.0.join("publisher.token")
    }

    /// Returns the path of the file with the token of operators.
    pub fn admin_token_path(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// Returns the path of the file with the key.
    pub fn key_path(&self) -> PathBuf {
        self.0.join("dev.key")
    }
}

fn secret(path: &Path) -> anyhow::Result<String> {
    let text = text_file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(without_line_break(&text).to_owned())
}

/// Writes a file that only its owner can read, completely or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        // A file left behind by a crash could be readable by others.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The issuer of every token signed with a developer's key.
pub const ISSUER: &str = "urn:tidings:dev";

/// The default data folder.
pub const DEFAULT_DATA: &str = "tidings-data";
