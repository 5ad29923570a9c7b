//! What goes over the control socket: lines of JSON, and file descriptors.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the hand-over. Another one is refused.
pub(crate) const HAND_OVER_VERSION: u32 = 1;
/// Bytes of a line of the first messages.
pub(crate) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// File descriptors in one message; the kernel takes 253.
const FILES_PER_MESSAGE: usize = 64;
/// File descriptors in all: more than any hub has listeners.
const FILES_MAX: usize = 64 * 1024;

/// What is asked of a running hub: the first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// To give its listeners and its history to the process that asks.
    TakeOver {
        /// The version of the hand-over that it speaks.
        version: u32,
    },
    /// To read its configuration again. Answered by [`Reloaded`].
    Reload,
    /// To say what a reload would do, without doing it. Answered by [`Reloaded`].
    Compare,
}

/// What became of a reload. With errors nothing was changed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// Changes that count now.
    pub(crate) applied: Vec<KeyChange>,
    /// Changes that count after the next start.
    pub(crate) needs_restart: Vec<KeyChange>,
    /// Everything that is wrong.
    pub(crate) errors: Vec<String>,
}

/// A key whose value changed, with both values. Secrets are hidden.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyChange {
    pub(crate) key: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

/// What the hub gives: the first answer to [`Request::TakeOver`]. The descriptors of the listeners
/// follow, in the same order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Offer {
    Listeners {
        /// Its process id.
        pid: u32,
        /// Its history.
        history: PathBuf,
        listeners: Vec<ListenerName>,
    },
    Refused(String),
}

/// An open listener, by its place in the configuration.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListenerName {
    pub(crate) name: String,
    pub(crate) configured: SocketAddr,
}

/// What the next process says on the way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Everything but the history is ready.
    Release,
    /// It serves.
    Ready {
        /// Its process id.
        pid: u32,
    },
}

/// The answer to [`Step::Release`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Release {
    Done,
    Refused(String),
}

/// Writes a line.
pub(crate) fn write_line(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Reads a line and not a byte more: descriptors may come with the next one.
pub(crate) fn read_line<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(serde_json::from_slice(&line)?);
        }
        if line.len() >= LINE_BYTES_MAX {
            return Err(io::Error::other("a line on the control socket is too long"));
        }
        line.extend(byte);
    }
}

/// Sends descriptors.
pub(crate) fn send_files(stream: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    for files in files.chunks(FILES_PER_MESSAGE) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = control.push(SendAncillaryMessage::ScmRights(files));
        if !fits {
            return Err(io::Error::other("descriptors do not fit into a message"));
        }
        // Ancillary data needs a byte to come with.
        let sent = sendmsg(
            stream,
            &[IoSlice::new(b"+")],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        if sent != 1 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Receives so many descriptors.
pub(crate) fn receive_files(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    if count > FILES_MAX {
        return Err(io::Error::other("too many listeners"));
    }
    let mut files = Vec::with_capacity(count);
    while files.len() < count {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_PER_MESSAGE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = files.len();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        if files.len() == before {
            return Err(io::Error::other("a message came without its descriptors"));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
