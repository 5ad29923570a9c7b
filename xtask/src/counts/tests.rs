//! Summary lines as the runners print them.

use super::*;

#[test]
fn nextest_failures_of_every_kind_are_failures() {
    check(
        "     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped",
        (3, 0, 0),
    );
    check(
        "     Summary [   1.2s] 4/9 tests run: 1 passed (1 slow), 2 failed, 1 timed out, 5 skipped",
        (1, 3, 5),
    );
    check(
        "     Summary [   1.2s] 2 tests run: 1 passed, 1 exec failed, 0 skipped",
        (1, 1, 0),
    );
}

#[test]
fn several_results_of_cargo_test_add_up() {
    check(
        "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
         test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        (4, 2, 2),
    );
}

#[test]
fn both_reporters_of_node_are_read() {
    check(
        "# tests 4\n# suites 0\n# pass 3\n# fail 1\n# cancelled 0\n# skipped 0",
        (3, 1, 0),
    );
    check(
        "ℹ tests 5\nℹ pass 2\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1",
        (2, 2, 1),
    );
}

#[test]
fn checks_within_a_test_of_pytest_count() {
    check(
        "524 passed, 2 skipped, 1300 subtests passed in 61.20s (0:01:01)",
        (1824, 0, 2),
    );
    check(
        "=== 3 failed, 1 passed, 1 skipped, 2 subtests passed, 1 error in 1.03s ===",
        (3, 4, 1),
    );
    check("we saw 3 failed, 1 passed in all", (0, 0, 0));
}

#[test]
fn the_plain_line_stands_alone() {
    check("12 passed, 1 failed", (12, 1, 0));
    check("we saw 12 passed, 1 failed in all", (0, 0, 0));
}

#[test]
fn a_comment_that_looks_like_node_is_no_count() {
    check("# pass the salt", (0, 0, 0));
}

#[track_caller]
fn check(output: &str, (passed, failed, skipped): (usize, usize, usize)) {
    let expected = Counts {
        passed,
        failed,
        skipped,
    };
    assert_eq!(Counts::read(output), expected);
}
