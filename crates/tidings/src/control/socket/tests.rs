//! Who comes later has the socket, and a file that nobody serves is no hub.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::control::message::write_line;

#[tokio::test]
async fn a_later_socket_takes_the_place_and_stays_when_the_earlier_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than the address of a socket may be.
    let folder = folder.path().join("x".repeat(200));
    let first = ControlSocket::open(&folder).unwrap();
    let mode = fs::metadata(folder.join(NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = ControlSocket::open(&folder).unwrap();
    drop(first);
    let mut stream = connect(&folder).unwrap().expect("the second one");
    write_line(&mut stream, &Request::TakeOver { version: 3 }).unwrap();
    let (request, _) = second.next().await;
    assert!(matches!(request, Request::TakeOver { version: 3 }));
    drop(second);
    assert!(connect(&folder).unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_a_dead_process_left_is_no_hub() {
    let folder = tempfile::tempdir().unwrap();
    drop(StdListener::bind(folder.path().join(NAME)).unwrap());
    assert!(folder.path().join(NAME).exists());
    assert!(connect(folder.path()).unwrap().is_none());
    assert!(connect(&folder.path().join("nowhere")).unwrap().is_none());
    drop(ControlSocket::open(folder.path()).unwrap());
}
