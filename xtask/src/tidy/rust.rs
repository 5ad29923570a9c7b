//! Checks of Rust sources: headers, file names, words in names, tests.

use super::Tree;
use crate::rust_text::{definitions, words};

/// Inline tests longer than this have a file of their own.
const INLINE_TEST_LINES_MAX: usize = 40;

/// Words that name nothing, or that have another word here. See STYLE.md, "Names".
const BANNED: &[&str] = &[
    "channel", "room", "message", "client", "user", "manager", "helper", "util", "utils", "common",
    "misc",
];

/// Names that may hold such a word: the name, or part of a path, and why.
const ALLOWED_NAMES: &[(&str, &str)] = &[
    ("user_agent", "the name of the header field"),
    ("message_bytes_max", "bytes of a ZeroMQ message"),
    ("message_broadcast", "POST /message/broadcast of the chat"),
    ("client_id", "the claim of RFC 9068"),
    ("rooms", "the table of the configuration"),
    ("common_prefix", "what two texts begin with"),
];
const ALLOWED_PATHS: &[(&str, &str, &str)] = &[
    ("chat", "message", "people write messages in a chat"),
    ("config", "room", "the word of the configuration"),
    ("websocket", "message", "a WebSocket message"),
    ("zmtp", "message", "a ZeroMQ message"),
    ("broker", "message", "a ZeroMQ message"),
    ("zeromq", "message", "a ZeroMQ message"),
    ("problem", "message", "what a problem document says"),
];

/// Each file says first what lives in it.
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

/// A test that does not run shows nothing, unless it is one of the slow ones.
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

/// Names keep to the words of the field.
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
            let by_name = ALLOWED_NAMES.iter().any(|(name, _)| *name == found.name);
            let by_path = ALLOWED_PATHS
                .iter()
                .any(|(path, allowed, _)| file.path.contains(path) && allowed == word);
            if !by_name && !by_path {
                let (path, line, name) = (&file.path, found.line, found.name);
                problems.push(format!("{path}:{line}: `{name}` uses the word `{word}`"));
            }
        }
    }
    problems
}

/// Says whether `own` is `word` or its plural.
fn is_word(own: &str, word: &str) -> bool {
    own.strip_prefix(word)
        .is_some_and(|rest| matches!(rest, "" | "s"))
}

/// Long tests stand in `x/tests.rs` beside `x.rs`.
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
