//! The socket itself: where it is, who may use it, and the first line of each connection.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::message::{LINE_BYTES_MAX, Request};

/// Its name in the data folder.
pub(crate) const NAME: &str = "control.sock";
/// How long a peer may take to say what it wants.
const REQUEST_MAX: Duration = Duration::from_secs(2);
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The control socket of a running hub. Its file goes with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: another process may have put its own in its place.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Opens the socket in `folder`, in the place of any that is there. To be called in a runtime, by
    /// whoever holds the history's lock.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let named = format!("{NAME}.{}", std::process::id());
        // Renamed over the old one, so that there is one at every moment.
        let (_folder, short) = short_path(folder, &named)?;
        drop(fs::remove_file(&short));
        let listener = StdListener::bind(&short)?;
        fs::set_permissions(&short, fs::Permissions::from_mode(0o600))?;
        let metadata = fs::metadata(&short)?;
        fs::rename(folder.join(&named), &path)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            path,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Waits for the next request. Returns it with the connection that it came by.
    pub(crate) async fn next(&self) -> (Request, StdStream) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match timeout(REQUEST_MAX, request(stream)).await {
                    Ok(Ok(request)) => return request,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a request to the control socket failed")
                    }
                    Err(_elapsed) => {
                        tracing::debug!("a request to the control socket took too long")
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the control socket");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let current = fs::metadata(&self.path);
        if current.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Connects to the hub that uses `folder`. Returns nothing if there is none.
///
/// # Errors
///
/// The socket is there and this user may not use it.
pub(crate) fn connect(folder: &Path) -> io::Result<Option<StdStream>> {
    let connected = short_path(folder, NAME).and_then(|(_folder, path)| StdStream::connect(path));
    match connected {
        Ok(stream) => Ok(Some(stream)),
        // A process that was killed leaves its file behind.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns a path of a file in `folder` that fits into the address of a socket, however long the
/// folder's own path is. It is good for as long as the file that comes with it is open.
fn short_path(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
    Ok((folder, path))
}

async fn request(mut stream: UnixStream) -> io::Result<(Request, StdStream)> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("user {peer} may not use it")));
    }
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            byte if line.len() < LINE_BYTES_MAX => line.push(byte),
            _ => return Err(io::Error::other("the request is too long")),
        }
    }
    let request = serde_json::from_slice(&line)?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok((request, stream))
}

#[cfg(test)]
mod tests;
