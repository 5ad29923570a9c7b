//! WebSockets through streams of one HTTP/2 connection (RFC 8441). A test speaks into one end of a
//! pair of sockets; a thread carries it into the stream.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use rustls::pki_types::ServerName;
use tidings_wire::websocket::deflate::{Agreement, Context};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::DEADLINE;
use super::peer::Peer;
use super::serving::Certificate;

/// Opens one connection with a WebSocket for each target. A peer that is dropped resets its stream;
/// the connection goes on until all are dropped.
pub fn tunnels(address: SocketAddr, targets: &[String], token: &str) -> Vec<Peer> {
    let mut far_ends = Vec::new();
    let near_ends: Vec<StdUnixStream> = targets
        .iter()
        .map(|target| {
            let (near, far) = StdUnixStream::pair().expect("a pair of sockets");
            near.set_read_timeout(Some(DEADLINE)).expect("an option");
            far_ends.push((format!("http://{address}{target}"), far));
            near
        })
        .collect();
    let field = ("authorization", format!("Bearer {token}"));
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("connected");
            carry_all(tcp, far_ends, field).await;
        });
    });
    near_ends.into_iter().map(Peer::opened).collect()
}

/// Opens one WebSocket that compresses, through an HTTP/2 connection of its own: under TLS if there is
/// a certificate.
pub fn compressing(address: SocketAddr, certificate: Option<&Certificate>, target: &str) -> Peer {
    let (near, far) = StdUnixStream::pair().expect("a pair of sockets");
    near.set_read_timeout(Some(DEADLINE)).expect("an option");
    near.set_write_timeout(Some(DEADLINE)).expect("an option");
    let tls = certificate.map(|certificate| Arc::new(certificate.config(&[b"h2"])));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri = format!("{scheme}://localhost:{}{target}", address.port());
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("connected");
            let ends = vec![(uri, far)];
            let field = ("sec-websocket-extensions", OFFER.to_owned());
            match tls {
                None => carry_all(tcp, ends, field).await,
                Some(config) => {
                    let name = ServerName::try_from("localhost").expect("a name");
                    let tls = TlsConnector::from(config).connect(name, tcp).await;
                    carry_all(tls.expect("TLS"), ends, field).await;
                }
            }
        });
    });
    let agreed = Agreement::choose([OFFER], Context::Discarded, Context::Discarded);
    Peer::opened_with(near, agreed.as_ref())
}

/// What a peer that compresses offers.
const OFFER: &str = "permessage-deflate";
/// A field of all requests of a connection.
type Field = (&'static str, String);

async fn carry_all(
    connected: impl AsyncRead + AsyncWrite + Unpin,
    ends: Vec<(String, StdUnixStream)>,
    field: Field,
) {
    let (sender, connection) = h2::client::handshake(connected).await.expect("HTTP/2");
    let mut streams = JoinSet::new();
    for (uri, end) in ends {
        end.set_nonblocking(true).expect("an option");
        let end = UnixStream::from_std(end).expect("a socket");
        streams.spawn(carry(sender.clone(), uri, field.clone(), end));
    }
    tokio::select! {
        _ = connection => {}
        () = async { while streams.join_next().await.is_some() {} } => {}
    }
}

async fn carry(mut sender: SendRequest<Bytes>, uri: String, field: Field, mut end: UnixStream) {
    while !sender.is_extended_connect_protocol_enabled() {
        // The hub's settings are on their way.
        tokio::task::yield_now().await;
    }
    let request = http::Request::connect(uri)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header(field.0, field.1)
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
    let mut sending = true;
    loop {
        tokio::select! {
            read = end.read(&mut buffer), if sending => {
                let count = read.ok().filter(|count| *count > 0)?;
                let bytes = Bytes::copy_from_slice(buffer.get(..count)?);
                // What the hub said last is still to come.
                sending = to_hub.send_data(bytes, false).is_ok();
            }
            data = from_hub.data() => {
                let Some(Ok(data)) = data else { return Some(()) };
                from_hub.flow_control().release_capacity(data.len()).ok()?;
                end.write_all(&data).await.ok()?;
            }
        }
    }
}
