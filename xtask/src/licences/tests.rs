//! Which licence expressions are satisfied.

use super::*;

#[test]
fn one_of_several_is_enough() {
    check("MIT OR GPL-3.0-only", true);
    check("GPL-3.0-only/MIT", true);
    check("GPL-3.0-only", false);
}

#[test]
fn all_of_several_are_needed() {
    check("MIT AND GPL-3.0-only", false);
    check("(MIT OR GPL-3.0-only) AND Unicode-3.0", true);
    check("ISC AND (Apache-2.0 OR GPL-3.0-only) AND OpenSSL", true);
}

#[test]
fn an_exception_belongs_to_its_licence() {
    check("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true);
    check("GPL-3.0-only WITH Classpath-exception-2.0", false);
}

#[test]
fn nonsense_is_not_allowed() {
    check("", false);
    check("MIT MIT", false);
}

#[track_caller]
fn check(expression: &str, expected: bool) {
    assert_eq!(allows(expression), expected, "{expression}");
}
