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
    let (status, output) = execute(&step, Path::new("."), Shown::AsItComes).unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(output.contains("out\n") && output.contains("err\n"));
}

/// Each waits for a file that the other makes, so they end only if both run at the same time.
#[test]
fn stages_beside_others_run_at_the_same_time_and_count() {
    let name = format!("tidings-stages-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let meet = |mine: &str, other: &str| {
        let script = format!(
            "touch {mine}; for _ in $(seq 600); do [ -e {other} ] && exit 0; sleep 0.1; done; exit 1"
        );
        Step::new("sh", &["-c", &script]).within(&folder)
    };
    let mut stages = Stages::new(Path::new("."));
    stages.beside(
        |stages| stages.run("first", &meet("one", "two")),
        |stages| stages.run("second", &meet("two", "one")),
    );
    let names: Vec<&str> = stages.finished.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["second", "first"]);
    assert!(stages.finish());
    std::fs::remove_dir_all(&folder).unwrap();
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
