//! What counts as code, and which names it defines.

use super::*;

#[test]
fn comments_and_strings_are_blank() {
    check("a /* b /* c */ d */ e // f\ng", "a e g");
    check(r#"f("x \" y", 'z', '\'') 'a"#, "f( , , ) 'a");
    check(r###"g(r#"a " b"#, br"c")"###, "g( , )");
}

#[test]
fn a_name_that_ends_in_r_is_no_raw_string() {
    check(r#"for"x""#, "for");
}

#[test]
fn items_variables_fields_and_parameters_are_definitions() {
    let code = "pub fn route(&self, update: &Update) { let mut out = std::mem::take(x); }\nstruct Hub { len: u32 }";
    let names: Vec<_> = definitions(code)
        .iter()
        .map(|found| (found.kind, found.name))
        .collect();
    assert_eq!(
        names,
        [
            ("fn", "route"),
            (":", "update"),
            ("let", "out"),
            ("struct", "Hub"),
            (":", "len")
        ]
    );
}

#[test]
fn names_have_words() {
    assert_eq!(words("RingBytes"), ["ring", "bytes"]);
    assert_eq!(words("ring_BYTES2max"), ["ring", "bytes2max"]);
}

/// Checks the code of `source`; any number of spaces and line breaks counts as one space.
#[track_caller]
fn check(source: &str, expected: &str) {
    let code = code_of(source);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>().join(" "),
        expected
    );
    assert_eq!(code.lines().count(), source.lines().count());
}
