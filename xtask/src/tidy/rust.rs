//! Checks of Rust sources: headers, file names, words in names, tests.

use super::Tree;
use crate::rust_text::{definitions, words};

/// The maximum length of inline tests. Longer ones are in a file of their own.
const INLINE_TEST_LINES_MAX: usize = 40;

/// Words that mean nothing. See STYLE.md, "Names".
const BANNED: &[&str] = &["manager", "helper", "util", "utils", "common", "misc"];

/// Names that contain such a word but are meaningful, with the reason.
const ALLOWED_NAMES: &[(&str, &str)] = &[("common_prefix", "what two texts begin with")];

/// Every file begins with a description of its contents.
pub fn header_is_missing(tree: &Tree) -> Vec<String> {
    let without = tree
        .ending("rs")
        .filter(|file| !file.text.starts_with("//!"));
    without
        .map(|file| format!("{}: does not begin with `//!`", file.path))
        .collect()
}

/// A module with files in a folder is `x.rs` beside `x/`.
pub fn forbidden_file_name(tree: &Tree) -> Vec<String> {
    let named = tree.ending("rs").filter(|file| file.stem() == "mod");
    named
        .map(|file| format!("{}: name it after its noun, not mod.rs", file.path))
        .collect()
}

/// Only slow tests may be ignored.
pub fn ignored_test(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("rs") {
        let code = file.code();
        let lines = file.text.lines().zip(code.lines()).enumerate();
        let ignoring = lines.filter(|(_, (_, code))| code.contains("#[ignore"));
        for (number, (line, _)) in ignoring {
            if !line.contains("#[ignore = \"slow: ") {
                let (path, number) = (&file.path, number + 1);
                problems.push(format!(
                    "{path}:{number}: ignores a test that is not slow; write #[ignore = \"slow: …\"]"
                ));
            }
        }
    }
    problems
}

/// Names do not use words that mean nothing.
pub fn banned_word(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("rs") {
        let code = file.code();
        for found in definitions(code) {
            let words = words(found.name);
            let Some(word) = BANNED
                .iter()
                .find(|word| words.iter().any(|own| is_word(own, word)))
            else {
                continue;
            };
            if !ALLOWED_NAMES.iter().any(|(name, _)| *name == found.name) {
                let (path, line, name) = (&file.path, found.line, found.name);
                problems.push(format!("{path}:{line}: `{name}` uses the word `{word}`"));
            }
        }
    }
    problems
}

/// Returns whether `own` is `word` or its plural.
fn is_word(own: &str, word: &str) -> bool {
    own.strip_prefix(word)
        .is_some_and(|rest| matches!(rest, "" | "s"))
}

/// Long tests belong in `x/tests.rs` beside `x.rs`.
pub fn long_inline_tests(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("rs") {
        let code = file.code();
        let inline = code
            .lines()
            .skip_while(|line| !line.starts_with("mod tests {"))
            .count();
        if inline > INLINE_TEST_LINES_MAX {
            let (path, stem) = (&file.path, file.stem());
            problems.push(format!(
                "{path}: {inline} lines of inline tests; move them to {stem}/tests.rs"
            ));
        }
    }
    problems
}
