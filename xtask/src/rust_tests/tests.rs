//! Which targets a filter selects.

use super::*;

#[test]
fn a_name_leads_to_the_targets_that_have_it() {
    let test = "#[test]\nfn an_update_comes_once() {}";
    let files = [
        ("crates/tidings/src/session/replay/tests.rs", test),
        ("crates/tidings/tests/it/replay.rs", test),
        (
            "crates/tidings/tests/it/harness.rs",
            "fn an_update_comes_once() {}",
        ),
        ("xtask/src/counts.rs", test),
    ];
    check(
        &files,
        "update_comes",
        &["tidings --lib", "tidings --test it", "xtask --bins"],
    );
    check(&files, "replay::", &["tidings --lib", "tidings --test it"]);
    check(&files, "replay::tests::an_", &["tidings --lib"]);
    check(&files, "counts::tests::an_", &["xtask --bins"]);
    check(&files, "nothing_like_it", &[]);
}

#[track_caller]
fn check(files: &[(&str, &str)], filter: &str, expected: &[&str]) {
    let file = |&(path, text): &(&str, &str)| File::new(path, text.to_owned(), text.len() as u64);
    let tree = Tree {
        files: files.iter().map(file).collect(),
    };
    let found = targets(&tree, filter).into_iter();
    let found: Vec<String> = found
        .map(|target| format!("{} {}", target.package, target.kind.join(" ")))
        .collect();
    assert_eq!(found, expected);
}
