//! What counts as covered.

use super::*;

#[test]
fn a_line_without_a_test_is_a_gap() {
    let problems = gaps(&tree(&checklist(&["[]"])));
    assert!(
        problems
            .iter()
            .any(|problem| problem.ends_with("no test for 1, D1")),
        "{problems:?}"
    );
}

#[test]
fn a_test_that_does_not_exist_is_a_gap() {
    let problems = gaps(&tree(&checklist(&["['it::publish::gone']"])));
    assert!(
        problems
            .iter()
            .any(|problem| problem.ends_with("1: there is no test it::publish::gone"))
    );
}

#[test]
fn rust_and_browser_tests_are_found() {
    let problems = gaps(&tree(&checklist(&[
        "['it::publish::works', 'chat.test.mjs::two people chat']",
    ])));
    assert!(
        !problems
            .iter()
            .any(|problem| problem.contains("there is no test")),
        "{problems:?}"
    );
}

#[test]
fn the_table_names_the_tests() {
    let table = table(&checklist(&["['it::publish::works']"])).unwrap();
    assert!(
        table.contains("| 1 | Publication | Topics. | `it::publish::works` |"),
        "{table}"
    );
    assert!(
        table.contains("| D1 | Not so. | So. | later: soon |")
            || table.contains("| D1 | Not so. | So. |  |")
    );
}

#[test]
fn a_test_that_the_table_of_dialects_names_exists() {
    let mut tree = tree(&checklist(&["[]"]));
    let table = "| `topic` | `it::publish::works`, `it::publish::gone` |";
    tree.files.push(File::new(DIALECTS, table.to_owned(), 0));
    let of_dialects = |problem: &&String| problem.starts_with(DIALECTS);
    let problems = gaps(&tree);
    let problems: Vec<&String> = problems.iter().filter(of_dialects).collect();
    assert_eq!(
        problems,
        [&format!("{DIALECTS}: there is no test it::publish::gone")]
    );
}

fn checklist(tests: &[&str]) -> String {
    let line = tests.iter().map(|tests| {
        format!("[[line]]\nnumber = 1\nsection = 'Publication'\nrequirement = 'Topics.'\ntests = {tests}\n")
    });
    let difference = "[[difference]]\nid = 'D1'\ntheirs = 'Not so.'\nours = 'So.'\ntests = []\n";
    line.chain([difference.to_owned()]).collect()
}

fn tree(checklist: &str) -> Tree {
    let files = [
        (SOURCE, checklist),
        (
            "crates/tidings/tests/it/publish.rs",
            "#[test]\nfn works() {}",
        ),
        (
            "conformance/browser/chat.test.mjs",
            "test('two people chat', …)",
        ),
    ];
    let file = |(path, text): (&str, &str)| File::new(path, text.to_owned(), text.len() as u64);
    Tree {
        files: files.map(file).into(),
    }
}
