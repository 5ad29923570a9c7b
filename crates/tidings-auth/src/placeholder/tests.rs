//! What asks for a value, and what only looks like it.

use super::*;

#[test]
fn what_asks_for_a_value_is_found_wherever_it_stands() {
    for (text, found) in [
        ("{env.A}", "{env.A}"),
        ("x{!env.A}y", "{!env.A}"),
        ("https://{$HOST:localhost}/", "{$HOST:localhost}"),
        ("ü${A}", "${A}"),
        ("${A:-b}", "${A:-b}"),
        ("${{ secrets.A }}", "${{ secrets.A }"),
        ("$(A)", "$(A)"),
        ("{{ a }}", "{{ a }}"),
        ("%env(A)%", "%env(A)%"),
        ("<%= ENV['A'] %>", "<%= ENV['A'] %>"),
    ] {
        assert_eq!(find(text), Some(found), "{text}");
    }
}

#[test]
fn braces_and_dollars_with_another_meaning_are_left_alone() {
    for text in [
        "",
        "{",
        "{id}",
        "/books/{id}",
        "/:a(\\d{2})",
        "{user.id}",
        "{}",
        "${}",
        "$(\\d+)",
        "{$}",
        "a$b",
        "%C3%A9",
        "{env.A",
        "{{",
        "50 %",
    ] {
        assert_eq!(find(text), None, "{text}");
    }
    assert!(!begins_with_variable("/data/$a"));
    assert!(!begins_with_variable("%C3%A9".trim_start_matches('%')));
    for secret in ["a{b}c", "$aB9", "%a", "it's", "\"", "p$ss{w}rd", "$1"] {
        assert!(
            !is_unfilled_secret(secret) && !is_quoted(secret),
            "{secret}"
        );
    }
}

#[test]
fn a_secret_is_judged_as_a_whole_too() {
    for secret in [
        "{a}",
        "$KEY",
        "%Key%",
        "file:///k",
        " {env.A}\n",
        "a ${B} c",
    ] {
        assert!(is_unfilled_secret(secret), "{secret}");
    }
    for secret in ["\"a\"", "'a'", "`a`", "\u{201c}a\u{201d}", " 'a' "] {
        assert!(is_quoted(secret), "{secret}");
    }
}
