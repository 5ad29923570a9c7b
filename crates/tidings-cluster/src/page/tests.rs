//! Pages: bytes that never change, and nothing that was cut or changed passes for something else.

use super::*;
use crate::engine::{BootId, NodeId, Sender};

/// Written by a program of its own, by what stands at the top of `page.rs`: after 299, with a print, up to
/// 400, two entries.
const BYTES: &str = "01ab0201a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a590030280a0f1c2b1340000000000000001000000000000\
                     00020000000000000003000000045a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a02616281a0f1c2b13400000000\
                     0000000100000000000000020000000000000003000000055b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b00";

fn entry(position: u64, index: u32, print: u8, bytes: &[u8]) -> Entry {
    Entry {
        position: Position::new(position),
        published_ms: 1_800_000_000_000 + position - 300,
        origin: Origin {
            sender: Sender {
                node: NodeId::new(1),
                boot: BootId::new(2),
            },
            batch: 3,
            index,
        },
        print: Some(Print::new([print; 16])),
        bytes: bytes.into(),
    }
}

fn page() -> Page {
    Page {
        after: Position::new(299),
        before: Some(Print::new([0xa5; 16])),
        last: Position::new(400),
        entries: vec![entry(300, 4, 0x5a, b"ab"), entry(301, 5, 0x5b, b"")],
    }
}

#[test]
fn the_bytes_of_version_1_never_change() {
    let bytes = page().encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, BYTES);
    assert_eq!(Page::decode(&bytes), Ok(page()));
    let empty = Page {
        before: None,
        entries: Vec::new(),
        ..page()
    };
    assert_eq!(Page::decode(&empty.encode()), Ok(empty));
}

#[test]
fn nothing_that_was_cut_or_is_of_another_version_passes() {
    let bytes = page().encode();
    for length in 0..bytes.len() {
        assert!(Page::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Page::decode(&longer), Err(PageError::Invalid("the end")));
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(Page::decode(&newer), Err(PageError::Version(2)));
    let last = Page {
        after: Position::new(u64::MAX),
        ..page()
    };
    let beyond = Err(PageError::Invalid("the position"));
    assert_eq!(Page::decode(&last.encode()), beyond);
}

#[test]
fn what_has_no_print_ends_a_page() {
    let mut page = page();
    page.entries[1].print = None;
    let read = Page::decode(&page.encode()).unwrap();
    assert_eq!(read.entries, page.entries[..1]);
}
