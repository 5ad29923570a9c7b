//! Lines and descriptors arrive as they were sent, in any number.

use std::fs::File;
use std::io::Seek;
use std::os::fd::AsFd;

use super::*;

#[test]
fn descriptors_come_between_lines_in_their_order() {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let mut files: Vec<File> = (0..130).map(|_| tempfile::tempfile().unwrap()).collect();
    for (number, file) in files.iter_mut().enumerate() {
        write!(file, "{number}").unwrap();
        file.rewind().unwrap();
    }
    write_line(&mut here, &Step::Release).unwrap();
    let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    send_files(&here, &borrowed).unwrap();
    write_line(&mut here, &Step::Ready { pid: 7 }).unwrap();

    assert!(matches!(read_line(&mut there).unwrap(), Step::Release));
    let received = receive_files(&there, files.len()).unwrap();
    assert!(matches!(
        read_line(&mut there).unwrap(),
        Step::Ready { pid: 7 }
    ));
    let texts: Vec<String> = received
        .into_iter()
        .map(|file| io::read_to_string(File::from(file)).unwrap())
        .collect();
    let expected: Vec<String> = (0..130).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_peer_that_is_gone_is_an_error() {
    let (here, mut there) = UnixStream::pair().unwrap();
    drop(here);
    assert!(read_line::<Step>(&mut there).is_err());
    assert!(receive_files(&there, 1).is_err());
}
