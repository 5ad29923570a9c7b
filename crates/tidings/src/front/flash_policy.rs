//! Answers Flash, which asks for a policy before it opens a socket. It has its own listener, and a connection to any
//! plain listener may also begin with `<`, the start of such a request.

use std::io;

use tidings_wire::flash_policy::{REQUEST, Recognized, Recognizer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::Site;
use tidings_hub::metrics::count_result;

/// Serves one connection, whose first bytes may have been read already. Closes it without an answer if it sends
/// anything but a request, or takes too long.
pub(crate) async fn serve(site: &Site, mut socket: TcpStream, read: &[u8]) {
    let patience = site.config().limits.head;
    let recognized = match timeout(patience, request(&mut socket, read)).await {
        Ok(Ok(recognized)) => recognized,
        Ok(Err(_)) | Err(_) => Recognized::Partly,
    };
    let result = match recognized {
        Recognized::Policy => "answered",
        Recognized::Partly => "unfinished",
        Recognized::Other => "junk",
    };
    count_result(&site.metrics().flash_policies, result);
    if recognized != Recognized::Policy {
        return;
    }
    let answer = async {
        socket.write_all(&site.config().flash.policy()).await?;
        socket.shutdown().await?;
        // Closing with unread bytes would reset the connection and destroy the answer.
        let mut unread = [0; 64];
        while socket.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // The connection ends either way.
    drop(timeout(patience, answer).await);
}

/// Reads until a request is complete or something else was sent.
async fn request(socket: &mut TcpStream, read: &[u8]) -> io::Result<Recognized> {
    let mut recognizer = Recognizer::default();
    let mut recognized = recognizer.push(read);
    let mut buffer = [0; REQUEST.len()];
    while recognized == Recognized::Partly {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        recognized = recognizer.push(buffer.get(..count).unwrap_or_default());
    }
    Ok(recognized)
}
