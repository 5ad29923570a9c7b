//! How a stream ends on the wire, in cases that depend on chance from outside.

use std::io::Read;
use std::net::TcpListener;
use std::task::Context;
use std::time::Duration;

use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn nothing_follows_a_part_of_an_event() {
    let (session, mut peer) = connected();
    let event = Bytes::from(vec![b'x'; 16 * 1024 * 1024]);
    let Socket::Plain(stream) = &session.socket else {
        unreachable!("made below");
    };
    stream.writable().await.unwrap();
    let mut sending = Box::pin(session.send_all(event.clone(), Duration::from_secs(60)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    // The stream ends at the moment when the socket takes more.
    let mut read = vec![0; 1024 * 1024];
    peer.read_exact(&mut read).unwrap();
    stream.writable().await.unwrap();
    session.close(Ending::TokenExpired);
    assert_eq!(sending.await, Err(Ending::TokenExpired));
    session.finish(Ending::TokenExpired, false, None).await;
    peer.read_to_end(&mut read).unwrap();
    assert!(read.len() < event.len() && event.starts_with(&read));
}

#[tokio::test]
async fn a_stream_that_rests_ends_with_its_last_chunk() {
    let (session, mut peer) = connected();
    let event = Bytes::from_static(b"3\r\n:\n\n\r\n");
    assert_eq!(
        session.send_all(event, Duration::from_secs(60)).await,
        Ok(())
    );
    session.close(Ending::Drained);
    session.finish(Ending::Drained, false, None).await;
    let mut read = Vec::new();
    peer.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"3\r\n:\n\n\r\n0\r\n\r\n");
}

/// As one that moves to another shard while the hub drains: nobody knows yet whether its socket takes
/// something.
#[tokio::test]
async fn a_stream_that_ends_before_it_begins_is_answered() {
    let (session, mut peer) = connected();
    session.close(Ending::Drained);
    let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n");
    let sent = session.send_head(head, Duration::from_secs(60)).await;
    assert_eq!(sent, Ok(()));
    session.finish(Ending::Drained, false, None).await;
    let mut read = Vec::new();
    peer.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n");
}

/// Returns a session whose socket has just been registered, and its peer, which reads only when told.
fn connected() -> (Session, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let session = Session::new(Parts {
        id: SubscriberId {
            slot: 0,
            generation: 0,
        },
        encoding: Encoding::Chunked,
        dialect: Dialect::V1,
        log: None,
        socket: Socket::Plain(socket),
        matchers: Box::default(),
        booked: Booked::default(),
        identity: None,
        now: Tick::at(Duration::ZERO),
        deadline: None,
        duplex: None,
        holder: crate::account::tests::holder(),
    });
    (session, peer)
}
