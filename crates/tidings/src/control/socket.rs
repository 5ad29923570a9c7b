//! The socket itself: where it is, who may use it, and the first line of each connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::message::{LINE_BYTES_MAX, Request};

/// Its name in the data folder.
pub(crate) const NAME: &str = "control.sock";
/// How long a peer may take to say what it wants.
const REQUEST_MAX: Duration = Duration::from_secs(2);
/// Maximum number of connections that have not said yet what they want. Beyond it, the oldest is closed: whoever wants
/// something says so at once.
const UNDECIDED_MAX: usize = 64;
/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The control socket of a running hub. Its file goes with it.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: another process may have put its own in its place.
    identity: (u64, u64),
    /// Connections that have not said yet what they want, the oldest first.
    undecided: RefCell<VecDeque<Undecided>>,
}

/// A connection whose request is being read.
type Undecided = Pin<Box<dyn Future<Output = io::Result<(Request, StdStream)>>>>;

impl fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSocket")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
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
            undecided: RefCell::default(),
        })
    }

    /// Waits for the next request. Returns it with the connection that it came by. Connections that say nothing delay
    /// nobody.
    pub(crate) async fn next(&self) -> (Request, StdStream) {
        loop {
            tokio::select! {
                request = poll_fn(|context| self.poll_undecided(context)) => match request {
                    Ok(request) => return request,
                    Err(error) => {
                        tracing::debug!(%error, "a request to the control socket failed");
                    }
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.add(stream),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection to the control socket");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn add(&self, stream: UnixStream) {
        let mut undecided = self.undecided.borrow_mut();
        if undecided.len() >= UNDECIDED_MAX {
            tracing::debug!("too many connections to the control socket say nothing");
            undecided.pop_front();
        }
        undecided.push_back(Box::pin(async {
            match timeout(REQUEST_MAX, request(stream)).await {
                Ok(request) => request,
                Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
            }
        }));
    }

    /// Returns the first request that is complete, or whose connection has failed.
    fn poll_undecided(&self, context: &mut Context<'_>) -> Poll<io::Result<(Request, StdStream)>> {
        let mut undecided = self.undecided.borrow_mut();
        for index in 0..undecided.len() {
            let Some(request) = undecided.get_mut(index) else {
                break;
            };
            if let Poll::Ready(request) = request.as_mut().poll(context) {
                drop(undecided.remove(index));
                return Poll::Ready(request);
            }
        }
        Poll::Pending
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
