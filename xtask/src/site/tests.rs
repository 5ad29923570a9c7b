//! Links of pages that are elsewhere in the site.

use super::*;

#[test]
fn a_link_between_pages_of_docs_stays() {
    check(
        "docs/guide/a.md",
        "see [b](../reference/b.md#c)",
        "see [b](../reference/b.md#c)",
        &[],
    );
    check(
        "docs/a.md",
        "see [`b`](guide/b.md)",
        "see [`b`](guide/b.md)",
        &[],
    );
}

#[test]
fn a_page_outside_docs_is_linked_at_its_place() {
    check(
        "docs/guide/a.md",
        "[style](../../STYLE.md#names)",
        "[style](../project/style.md#names)",
        &[],
    );
    check(
        "STYLE.md",
        "[a](docs/guide/a.md)",
        "[a](../guide/a.md)",
        &[],
    );
    check(
        "STYLE.md",
        "[all](docs/decisions/)",
        "[all](../decisions/README.md)",
        &[],
    );
}

#[test]
fn a_file_that_is_no_page_comes_along() {
    let to = "[app](../files/examples/chat/app.mjs)";
    check(
        "docs/guide/a.md",
        "[app](../../examples/chat/app.mjs)",
        to,
        &["examples/chat/app.mjs"],
    );
}

#[test]
fn code_and_other_sites_stay() {
    for text in [
        "```md\n[a](../../b)\n```\n",
        "`[a](../../b)`",
        "[a](https://example.com/)",
        "[a](#b)",
    ] {
        check("docs/guide/a.md", text, text, &[]);
    }
}

#[track_caller]
fn check(from: &str, text: &str, expected: &str, files: &[&str]) {
    let mut linked = BTreeSet::new();
    assert_eq!(moved(text, from, &mut linked), expected);
    assert_eq!(linked.into_iter().collect::<Vec<_>>(), files);
}
