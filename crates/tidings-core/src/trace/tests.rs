//! The standard's own examples, and what is none.

use super::*;

const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn the_standards_example_is_read_and_written() {
    let context = TraceContext::parse(EXAMPLE).unwrap();
    assert_eq!(context.to_string(), EXAMPLE);
    assert_eq!(context.trace_id()[..2], [0x4b, 0xf9]);
    assert_eq!(context.span_id()[6..], [0x02, 0xb7]);
    assert!(context.is_sampled());
    assert_eq!(TraceContext::of_bytes(&context.to_bytes()), Some(context));
    let unsampled = TraceContext::parse(&EXAMPLE.replace("-01", "-00")).unwrap();
    assert!(!unsampled.is_sampled());
}

#[test]
fn a_later_version_is_read_as_far_as_this_one_goes() {
    let later = EXAMPLE.replacen("00", "cc", 1);
    let context = TraceContext::parse(&later).unwrap();
    assert_eq!(context.to_string(), EXAMPLE);
    assert!(TraceContext::parse(&format!("{later}-what-the-future-will-be-like")).is_some());
    assert!(TraceContext::parse(&format!("{later}.what")).is_none());
}

#[test]
fn what_breaks_a_rule_is_none() {
    for text in [
        "",
        "00",
        &EXAMPLE.to_uppercase(),
        &EXAMPLE.replacen("00", "ff", 1),
        &EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &EXAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &format!("{EXAMPLE}-extra"),
        &EXAMPLE.replacen('-', "_", 2),
        &EXAMPLE.replace("4b", "é"),
        EXAMPLE.strip_suffix("1").unwrap(),
    ] {
        assert_eq!(TraceContext::parse(text), None, "{text:?}");
    }
    assert_eq!(TraceContext::of_bytes(&[1; 24]), None);
    assert_eq!(TraceContext::of_bytes(&[1; 26]), None);
}
