//! The summary: what counts as a failure.

use super::*;

#[test]
fn a_failed_stage_without_counts_is_one_failure() {
    let stages = [finished(0, 0, Some("exit status: 1"))];
    assert_eq!(sum(&stages), Counts::failed(1));
}

#[test]
fn counts_are_summed_over_stages() {
    let stages = [
        finished(3, 0, None),
        finished(4, 2, Some("exit status: 100")),
    ];
    assert_eq!(
        sum(&stages),
        Counts {
            passed: 7,
            failed: 2,
            skipped: 0
        }
    );
}

#[test]
fn a_test_runner_that_ran_nothing_has_failed() {
    let step = Step::cargo(&["test"]).must_count();
    let verdict = judge(&step, true, Counts::default(), "exit status: 0");
    assert_eq!(verdict.as_deref(), Some("it ran no test"));
}

#[test]
fn failed_tests_fail_a_stage_that_ended_with_success() {
    let verdict = judge(&Step::cargo(&[]), true, Counts::failed(1), "exit status: 0");
    assert!(verdict.is_some());
}

#[test]
fn both_streams_of_a_command_are_read() {
    let step = Step::new("sh", &["-c", "echo out; echo err >&2; exit 3"]);
    let (status, output) = execute(&step, Path::new(".")).unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(output.contains("out\n") && output.contains("err\n"));
}

fn finished(passed: usize, failed: usize, failure: Option<&str>) -> Finished {
    Finished {
        name: "stage".to_owned(),
        took: Duration::ZERO,
        counts: Counts {
            passed,
            failed,
            skipped: 0,
        },
        failure: failure.map(str::to_owned),
    }
}
