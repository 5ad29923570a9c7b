//! Streams and subjects.

use super::*;

#[test]
fn no_two_clusters_share_a_stream() {
    let names = [
        "a",
        "a.leases",
        "a=leases",
        "a_leases",
        "a.",
        "a..",
        "a._leases",
    ];
    let names = names.iter().filter_map(|name| name.parse::<Name>().ok());
    let mut streams: Vec<String> = names
        .map(|name| Names::new(&name))
        .flat_map(|names| [names.line, names.leases])
        .collect();
    let count = streams.len();
    streams.sort();
    streams.dedup();
    assert_eq!((streams.len(), count), (12, 12));
}

#[test]
fn a_holder_is_read_from_its_subject() {
    let names = Names::new(&"x".parse().unwrap());
    let holder = sender("00000000000000ab-0000000000000001").unwrap();
    assert_eq!(names.holder_of(&names.node(holder)), Some(holder));
    assert_eq!(names.holder_of("tidings_x=leases.h.trim"), None);
}

#[test]
fn hexadecimal_goes_there_and_back() {
    assert_eq!(from_hex(&hex(&[0, 171, 255])), Some([0, 171, 255]));
    assert_eq!(from_hex::<2>("00zz"), None);
    assert_eq!(from_hex::<2>("000"), None);
    assert_eq!(from_hex::<2>("+0+0"), None);
}
