//! Names are read from what they were written as, and from nothing else.

use super::*;

#[test]
fn an_origin_is_read_from_its_bytes_and_from_no_others() {
    let origin = Origin {
        sender: Sender {
            node: NodeId::new(1),
            boot: BootId::new(u64::MAX),
        },
        batch: 3,
        index: 4,
    };
    let bytes = origin.bytes();
    assert_eq!(Origin::from_bytes(&bytes), Some(origin));
    for length in 0..Origin::BYTES {
        assert_eq!(Origin::from_bytes(&bytes[..length]), None);
    }
    assert_eq!(Origin::from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
}

#[test]
fn a_name_is_read_from_its_digits_and_from_no_others() {
    let name = EpochId::new(0x0123_4567_89ab_cdef);
    assert_eq!(name.to_string(), "0123456789abcdef");
    assert_eq!(EpochId::parse(&name.to_string()), Some(name));
    for text in [
        "",
        "1",
        "0123456789abcdeg",
        "+123456789abcdef",
        "00123456789abcdef",
    ] {
        assert_eq!(EpochId::parse(text), None, "{text}");
    }
}

#[test]
fn a_key_has_some_bytes_and_not_too_many() {
    assert_eq!(Key::new(&[]), None);
    assert!(Key::new(&[7; KEY_BYTES_MAX]).is_some());
    assert_eq!(Key::new(&[7; KEY_BYTES_MAX + 1]), None);
}
