//! Compiled expressions.

use proptest::prelude::*;

use super::{Expression, parse};
use crate::limits::PATTERN_REGEX_BYTES_MAX;
use crate::matcher::PatternError;

#[test]
fn whole_texts_match() {
    let cases = [
        ("^$", &[""][..], &["a"][..]),
        (
            "^/([^/]+?)/([^/]+?)$",
            &["/a/b"],
            &["/a", "/a/", "/a/b/c", "//b"],
        ),
        (
            "^/(\\d{4})-(\\d{2})$",
            &["/2026-11"],
            &["/2026-1", "/2026-111"],
        ),
        (
            "^(a|ab)(c|bcd)?$",
            &["a", "ab", "abcd", "ac", "abc"],
            &["abcdc"],
        ),
        ("^(.*)/x/(.*)/y$", &["/x//y", "a/x/x/b/y"], &["/x/y"]),
        ("^((?i)foo)\\b.$", &["FoO-"], &["FoOo"]),
        ("^(?:\\xC3\\xA4)$", &["ä"], &["a"]),
        ("^(\\p{L}+)$", &["abc"], &["ab1"]),
        ("^((?u:\\w\\b)-)$", &["a-"], &["--"]),
    ];
    for (source, matching, others) in cases {
        let compiled = compile(source).unwrap();
        for text in matching {
            assert!(compiled.matches(text.as_bytes()), "{source}: {text}");
        }
        for text in others {
            assert!(!compiled.matches(text.as_bytes()), "{source}: {text}");
        }
    }
}

#[test]
fn what_needs_too_many_states_is_refused() {
    for source in [
        "^([^/]+?)1(\\w{0,110})2(.*)$",
        "^(.*a.{14})$",
        "^((((a{0,100}){0,100}){0,100}){0,100})$",
        "^((a?){2000})$",
        "^((?i)(\\w\\d?){500})$",
    ] {
        assert!(
            matches!(compile(source), Err(PatternError::TooComplex { .. })),
            "{source}"
        );
    }
}

#[test]
fn classes_of_unicode_are_few() {
    let many = format!("^((?i){})$", "\\pL".repeat(1000));
    assert_eq!(
        parse(&many).err(),
        Some(PatternError::TooManyClasses { count: 1000 })
    );
    let flagged = format!("^((?iu:{}))$", "\\w".repeat(1000));
    assert!(matches!(
        parse(&flagged),
        Err(PatternError::TooManyClasses { .. })
    ));
    let plain = format!("^({})$", "\\w".repeat(100));
    assert!(compile(&plain).unwrap().matches("a".repeat(100).as_bytes()));
}

#[test]
fn memory_is_what_it_says() {
    let small = compile("^/([^/]+?)/([^/]+?)$").unwrap();
    assert!(small.bytes() < 512, "{}", small.bytes());
    let large = compile("^/(\\w{0,110})$").unwrap();
    assert!(large.bytes() > 512 && large.bytes() <= PATTERN_REGEX_BYTES_MAX);
    let tight = Expression::compile(&parse("^/(\\w{0,110})$").unwrap(), 512);
    assert!(matches!(tight, Err(PatternError::TooComplex { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_agrees_with_another_engine(
        pieces in proptest::collection::vec(a_piece(), 0..8),
        texts in proptest::collection::vec("[abc/1 ]{0,12}", 8),
    ) {
        let source = format!("^({})$", pieces.concat());
        let other = regex::bytes::Regex::new(&source);
        match (compile(&source), other) {
            (Ok(compiled), Ok(other)) => for text in &texts {
                prop_assert_eq!(compiled.matches(text.as_bytes()), other.is_match(text.as_bytes()), "{}", text);
            },
            (Err(PatternError::TooComplex { .. }), _) | (Err(PatternError::Regexp), Err(_)) => {}
            (compiled, other) => prop_assert!(false, "{compiled:?} {other:?}"),
        }
    }
}

fn a_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&[
        "a",
        "b",
        ".",
        "/",
        "[^/]+?",
        "[ab]",
        "(a|b?b)",
        "a*",
        ".*",
        "b?",
        "(?:a|b*c){0,3}",
        "\\w",
        "\\d{2,}",
        "\\b",
        "\\B",
        "(?i:A)",
        "(?m:^)",
        "$",
        "(?s:.)",
        "(?:)",
        "\\pL",
        "(?u:\\W)",
    ])
}

fn compile(source: &str) -> Result<Expression, PatternError> {
    Expression::compile(&parse(source)?, PATTERN_REGEX_BYTES_MAX)
}
