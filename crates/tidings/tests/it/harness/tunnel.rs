//! WebSockets through streams of one HTTP/2 connection (RFC 8441). A test speaks into one end of a
//! pair of sockets; a thread carries it into the stream.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::DEADLINE;
use super::peer::Peer;

/// Opens one connection with a WebSocket for each target. A peer that is dropped resets its stream;
/// the connection goes on until all are dropped.
pub fn tunnels(address: SocketAddr, targets: &[String], token: &str) -> Vec<Peer> {
    let mut far_ends = Vec::new();
    let near_ends: Vec<StdUnixStream> = targets
        .iter()
        .map(|target| {
            let (near, far) = StdUnixStream::pair().expect("a pair of sockets");
            near.set_read_timeout(Some(DEADLINE)).expect("an option");
            far_ends.push((target.clone(), far));
            near
        })
        .collect();
    let token = token.to_owned();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(carry_all(address, far_ends, token));
    });
    near_ends.into_iter().map(Peer::opened).collect()
}

async fn carry_all(address: SocketAddr, ends: Vec<(String, StdUnixStream)>, token: String) {
    let tcp = TcpStream::connect(address).await.expect("connected");
    let (sender, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    let mut streams = JoinSet::new();
    for (target, end) in ends {
        end.set_nonblocking(true).expect("an option");
        let end = UnixStream::from_std(end).expect("a socket");
        let uri = format!("http://{address}{target}");
        streams.spawn(carry(sender.clone(), uri, token.clone(), end));
    }
    tokio::select! {
        _ = connection => {}
        () = async { while streams.join_next().await.is_some() {} } => {}
    }
}

async fn carry(mut sender: SendRequest<Bytes>, uri: String, token: String, mut end: UnixStream) {
    while !sender.is_extended_connect_protocol_enabled() {
        // The hub's settings are on their way.
        tokio::task::yield_now().await;
    }
    let request = http::Request::connect(uri)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .expect("a request");
    sender = sender.ready().await.expect("a stream");
    let (answer, mut to_hub) = sender.send_request(request, false).expect("sent");
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut from_hub = answer.into_body();
    if copy(&mut end, &mut to_hub, &mut from_hub).await.is_none() {
        to_hub.send_reset(Reason::CANCEL);
    }
}

/// Copies both ways; nothing when the test's end is gone.
async fn copy(
    end: &mut UnixStream,
    to_hub: &mut SendStream<Bytes>,
    from_hub: &mut RecvStream,
) -> Option<()> {
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = end.read(&mut buffer) => {
                let count = read.ok().filter(|count| *count > 0)?;
                let bytes = Bytes::copy_from_slice(buffer.get(..count)?);
                to_hub.send_data(bytes, false).ok()?;
            }
            data = from_hub.data() => {
                let Some(Ok(data)) = data else { return Some(()) };
                from_hub.flow_control().release_capacity(data.len()).ok()?;
                end.write_all(&data).await.ok()?;
            }
        }
    }
}
