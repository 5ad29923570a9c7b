//! Who logs in to a server.

use std::fmt;
use std::path::{Path, PathBuf};

/// Most bytes of a password file.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Who logs in. Without a password nobody does, unless the server asks for none.
#[derive(Clone, Default)]
pub struct Login {
    username: Option<String>,
    password: Option<String>,
}

/// Why nobody can log in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file cannot be read.
    #[error("cannot read the password file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: std::io::Error,
    },
    /// The file has no password, or a long one.
    #[error("the password file {path} has {bytes} bytes, not 1 to {PASSWORD_BYTES_MAX}")]
    Length {
        /// The file.
        path: PathBuf,
        /// What it has without the line end.
        bytes: usize,
    },
    /// A user name needs a password.
    #[error("there is a user name {username:?} but no password file")]
    NoPassword {
        /// The name.
        username: String,
    },
}

impl Login {
    /// Reads the password from its file, of which one line end is not a part.
    ///
    /// # Errors
    ///
    /// [`LoginError`] if the file cannot be read or holds no password.
    pub fn read(username: Option<&str>, password_file: Option<&Path>) -> Result<Self, LoginError> {
        let Some(path) = password_file else {
            return match username {
                None => Ok(Self::default()),
                Some(username) => Err(LoginError::NoPassword {
                    username: username.to_owned(),
                }),
            };
        };
        let text = std::fs::read_to_string(path).map_err(|source| LoginError::Read {
            path: path.to_owned(),
            source,
        })?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if !(1..=PASSWORD_BYTES_MAX).contains(&password.len()) {
            return Err(LoginError::Length {
                path: path.to_owned(),
                bytes: password.len(),
            });
        }
        Ok(Self {
            username: username.map(str::to_owned),
            password: Some(password.to_owned()),
        })
    }

    /// A user whom the server lets in without a password: by a certificate, or because of the machine.
    #[must_use]
    pub fn without_password(username: &str) -> Self {
        Self {
            username: Some(username.to_owned()),
            password: None,
        }
    }

    /// Returns the user, if it is named.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// Returns the password, which no log and no error may show.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Debug for Login {
    /// Shows nothing of the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret words\n").unwrap();
        let login = Login::read(Some("hub"), Some(&file)).unwrap();
        assert_eq!(login.username(), Some("hub"));
        assert_eq!(login.password(), Some("secret words"));
        assert!(!format!("{login:?}").contains("secret"));
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(
            Login::read(None, Some(&file)),
            Err(LoginError::Length { bytes: 0, .. })
        ));
        assert!(matches!(
            Login::read(Some("hub"), None),
            Err(LoginError::NoPassword { .. })
        ));
        assert_eq!(Login::default().password(), None);
    }
}
