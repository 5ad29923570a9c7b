//! Each check finds its problem, and accepts correct input.

use super::*;

#[test]
fn a_file_begins_with_what_lives_in_it() {
    check(
        rust::header_is_missing,
        &[("a.rs", "fn main() {}")],
        &["a.rs: does not begin with `//!`"],
    );
    check(rust::header_is_missing, &[("a.rs", "//! Main.")], &[]);
}

#[test]
fn a_module_is_named_after_its_noun() {
    check(
        rust::forbidden_file_name,
        &[("hub/mod.rs", "")],
        &["hub/mod.rs: name it after its noun, not mod.rs"],
    );
    check(rust::forbidden_file_name, &[("hub.rs", "")], &[]);
}

#[test]
fn every_test_runs() {
    check(
        rust::ignored_test,
        &[("a.rs", "#[ignore]\nfn t() {}")],
        &["a.rs:1: ignores a test that is not slow; write #[ignore = \"slow: …\"]"],
    );
    let slow = "// no #[ignore] here\n#[ignore = \"slow: an hour\"]\nfn t() {}";
    check(rust::ignored_test, &[("a.rs", slow)], &[]);
}

#[test]
fn names_do_not_use_words_that_name_nothing() {
    check(
        rust::banned_word,
        &[("a.rs", "fn f() {}\nstruct SessionManagers;")],
        &["a.rs:2: `SessionManagers` uses the word `manager`"],
    );
    check(
        rust::banned_word,
        &[("a.rs", "let misc = 1; // anything\n")],
        &["a.rs:1: `misc` uses the word `misc`"],
    );
    check(rust::banned_word, &[("a.rs", "fn common_prefix() {}")], &[]);
    // Words of protocols and of the configuration are allowed as names.
    check(
        rust::banned_word,
        &[("a.rs", "let (message, room, channel) = f(); // no util")],
        &[],
    );
}

#[test]
fn long_tests_have_a_file() {
    let long = format!("mod tests {{{}", "\n".repeat(60));
    check(
        rust::long_inline_tests,
        &[("a.rs", &long)],
        &["a.rs: 60 lines of inline tests; move them to a/tests.rs"],
    );
    check(rust::long_inline_tests, &[("a.rs", "mod tests {\n}")], &[]);
}

#[test]
fn work_that_is_left_has_an_issue() {
    let mark = ["FIX", "ME"].concat();
    check(
        text::mark_without_issue,
        &[("a.js", &mark)],
        &["a.js:1: a mark of unfinished work"],
    );
    check(
        text::mark_without_issue,
        &[("a.js", &["// TO", "DO(#7): more"].concat())],
        &[],
    );
}

#[test]
fn links_lead_somewhere() {
    check(
        text::broken_link,
        &[("docs/a.md", "[b](../b.md)")],
        &["docs/a.md: the link to ../b.md is broken"],
    );
    check(
        text::broken_link,
        &[
            ("a.md", "[b](b.md#two-words)\n`[x](y)`"),
            ("b.md", "# Two words"),
        ],
        &[],
    );
}

#[test]
fn pages_are_in_a_menu_of_the_site() {
    let index = ("docs/index.md", "one\nTwo <guide/two>\nreference/*\n");
    let named = [
        "docs/one.md",
        "docs/guide/two.md",
        "docs/reference/three.md",
    ]
    .map(|path| (path, ""));
    check(
        text::page_outside_the_site,
        &[&[index][..], &named].concat(),
        &[],
    );
    check(
        text::page_outside_the_site,
        &[index, ("docs/guide/one.md", "")],
        &["docs/guide/one.md: name it in docs/index.md"],
    );
}

#[test]
fn documents_have_titles() {
    check(
        text::missing_title,
        &[("a.md", "Hello")],
        &["a.md: does not begin with a title"],
    );
    check(
        text::missing_title,
        &[("a.md", "<!-- by hand -->\n\n# Hello")],
        &[],
    );
}

#[test]
fn nothing_names_the_machine() {
    let path = ["/", "root/x"].concat();
    check(
        text::machine_path,
        &[("a.md", &path)],
        &[&format!("a.md:1: names {}", ["/", "root/"].concat())],
    );
    check(text::machine_path, &[("a.md", "/etc/tidings")], &[]);
}

#[test]
fn large_files_stay_out() {
    let large = "x".repeat(300 * 1024);
    check(
        text::large_file,
        &[("a.png", &large)],
        &["a.png: 307200 bytes, more than 204800"],
    );
    check(text::large_file, &[("a.png", "x")], &[]);
}

#[test]
fn core_knows_nobody() {
    let manifest = "[package]\nname = \"tidings-core\"\n[dependencies]\nbytes = \"1\"\ntidings-wire.workspace = true";
    check(
        project::forbidden_edge,
        &[("crates/tidings-core/Cargo.toml", manifest)],
        &["tidings-core: may not use tidings-wire"],
    );
    check(
        project::forbidden_edge,
        &[("xtask/Cargo.toml", "[package]\nname = \"xtask\"")],
        &[],
    );
}

#[test]
fn layers_use_each_other_along_the_arrows() {
    let path = "crates/tidings/src/binding.rs";
    let forbidden: &[(&str, &[&str])] = &[
        ("use crate::http::route;", &["http"]),
        ("use crate::{config::Config, http};", &["config", "http"]),
        ("fn f() { crate::front::accept::bind() }", &["front"]),
        ("use crate::binding::open; use other_crate::http;", &[]),
        ("// use crate::http;", &[]),
    ];
    for (code, named) in forbidden {
        let problems: Vec<_> = named
            .iter()
            .map(|to| format!("{path}: binding may not use {to}"))
            .collect();
        let problems: Vec<_> = problems.iter().map(String::as_str).collect();
        check(modules::forbidden_arrow, &[(path, code)], &problems);
    }
    check(
        modules::forbidden_arrow,
        &[("crates/tidings/src/attic.rs", "")],
        &["crates/tidings/src/attic.rs: the room attic has no row in the table of rooms"],
    );
}

#[test]
fn the_hub_does_not_know_http() {
    let manifest = |dependency: &str| {
        format!("[package]\nname = \"tidings-hub\"\n[dependencies]\n{dependency}.workspace = true")
    };
    let path = "crates/tidings-hub/Cargo.toml";
    let problem = "tidings-hub: may not depend on hyper";
    check(
        project::foreign_dependency,
        &[(path, &manifest("hyper"))],
        &[problem],
    );
    check(
        project::foreign_dependency,
        &[(path, &manifest("bytes"))],
        &[],
    );
}

#[test]
fn layers_are_in_the_order_of_their_arrows() {
    check(modules::circle_of_layers, &[], &[]);
}

#[test]
fn lints_are_one_set() {
    let manifest = "[package]\nname = \"xtask\"";
    check(
        project::lints_not_inherited,
        &[("xtask/Cargo.toml", manifest)],
        &["xtask: its Cargo.toml lacks `[lints] workspace = true`"],
    );
    check(
        project::lints_not_inherited,
        &[(
            "xtask/Cargo.toml",
            &format!("{manifest}\n[lints]\nworkspace = true"),
        )],
        &[],
    );
}

#[test]
fn a_dependency_has_a_reason() {
    let manifest = ("Cargo.toml", "[workspace.dependencies]\nbytes = \"1\"");
    check(
        project::dependency_without_reason,
        &[manifest],
        &["Cargo.toml: bytes has no line in docs/decisions/dependencies.md"],
    );
    check(
        project::dependency_without_reason,
        &[
            manifest,
            ("docs/decisions/dependencies.md", "- **bytes** — why"),
        ],
        &[],
    );
}

#[test]
fn a_dependency_is_used() {
    let workspace = ("Cargo.toml", "[workspace.dependencies]\nbytes = \"1\"");
    check(
        project::unused_dependency,
        &[workspace],
        &["Cargo.toml: no crate uses bytes"],
    );
    let manifest = (
        "crates/x/Cargo.toml",
        "[dependencies]\nbytes.workspace = true",
    );
    check(project::unused_dependency, &[workspace, manifest], &[]);
}

#[test]
fn a_decoder_is_fuzzed() {
    let decoder = (
        "crates/tidings-wire/src/cookie.rs",
        "pub fn find(header: &str) {}",
    );
    let problem =
        "crates/tidings-wire/src/cookie.rs: decodes, but has no fuzz/fuzz_targets/cookie.rs";
    check(project::decoder_without_fuzz_target, &[decoder], &[problem]);
    check(
        project::decoder_without_fuzz_target,
        &[decoder, ("fuzz/fuzz_targets/cookie.rs", "")],
        &[],
    );
}

/// A mention of an invariant, assembled here so that this file contains none.
fn named(rest: &str) -> String {
    format!("// It holds (invariant {rest}).")
}

const LIST: (&str, &str) = (
    "ARCHITECTURE.md",
    "## Invariants\n\n3. **Acknowledged is kept.** An acknowledged update stays.",
);

#[test]
fn an_invariant_has_its_own_name() {
    let right = named("3, acknowledged\n/// is kept");
    check(claims::wrong_invariant, &[LIST, ("a.rs", &right)], &[]);
    let word = "invariant";
    let advice = format!("write `{word} 3, acknowledged is kept`, not");
    for (rest, problem) in [
        ("8", format!("there is no {word} 8")),
        ("3", format!("{advice} `{word} 3`")),
        ("3, no panic", format!("{advice} `{word} 3, no panic`")),
    ] {
        let problem = format!("a.rs:1: {problem}");
        let file = ("a.rs", named(rest));
        check(
            claims::wrong_invariant,
            &[LIST, (file.0, &file.1)],
            &[&problem],
        );
    }
}

#[test]
fn errors_of_the_product_have_a_type() {
    let inside = ("crates/x/src/a.rs", "fn f() -> anyhow::Result<()> {}");
    let problem = "crates/x/src/a.rs: uses anyhow; give its errors a type";
    check(claims::untyped_error, &[inside], &[problem]);
    check(
        claims::untyped_error,
        &[("crates/x/src/main.rs", inside.1)],
        &[],
    );
}

#[test]
fn a_function_is_named_after_what_it_does() {
    check(
        claims::empty_prefix,
        &[("a.rs", "fn get_topic() {}")],
        &["a.rs:1: `get_topic` begins with an empty word"],
    );
    check(claims::empty_prefix, &[("a.rs", "fn topic() {}")], &[]);
}

#[test]
fn there_is_one_language() {
    let own = [("a.rs", "macro_rules! check { () => {} }")];
    check(claims::own_macro, &own, &["a.rs: defines a macro"]);
    check(claims::own_macro, &[("a.rs", "println!();")], &[]);
}

#[test]
fn a_test_does_not_sleep() {
    check(
        claims::sleeping_test,
        &[("a/tests.rs", "thread::sleep(WAIT)")],
        &["a/tests.rs: sleeps; wait for an event with a deadline"],
    );
    check(claims::sleeping_test, &[("a.rs", "sleep(WAIT)")], &[]);
}

#[test]
fn a_record_holds_one_decision() {
    let (path, long) = ("docs/decisions/0001-x.md", "\n".repeat(61));
    check(
        claims::long_decision,
        &[(path, &long)],
        &["docs/decisions/0001-x.md: 61 lines, more than 60"],
    );
    check(claims::long_decision, &[(path, "# X")], &[]);
}

#[test]
fn a_number_names_one_record() {
    let (one, two) = ("docs/decisions/0001-x.md", "docs/decisions/0001-y.md");
    check(
        claims::same_number,
        &[(one, "# X"), (two, "# Y")],
        &["docs/decisions/0001-y.md: docs/decisions/0001-x.md has the number 0001 too"],
    );
    check(claims::same_number, &[(one, "# X")], &[]);
}

/// Checks what `check` reports for a tree of these paths and texts.
#[track_caller]
fn check(check: Check, files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(check(&tree(files)), expected);
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |&(path, text): &(&str, &str)| File::new(path, text.to_owned(), text.len() as u64);
    Tree {
        files: files.iter().map(file).collect(),
    }
}
