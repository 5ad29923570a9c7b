//! Counts of passed, failed and skipped tests, parsed from the output of test runners.
//!
//! Knows nextest, cargo test, node's runner (TAP and spec), pytest, and the plain line `N passed, N
//! failed`. If a run prints several summaries, they are added up.

use std::fmt;
use std::ops::AddAssign;

/// The number of tests that passed, failed and did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that ran and passed.
    pub passed: usize,
    /// Tests that failed, timed out, were cancelled or could not start.
    pub failed: usize,
    /// Tests that were not run, such as slow ones.
    pub skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// `3 passed, 0 failed, 1 skipped`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl Counts {
    /// Returns the counts of failures only.
    pub fn failed(failed: usize) -> Self {
        Self {
            failed,
            ..Self::default()
        }
    }

    /// Adds up all summary lines in `output`.
    pub fn read(output: &str) -> Self {
        let mut counts = Self::default();
        for line in output.lines().map(str::trim) {
            let found = nextest(line)
                .or_else(|| cargo_test(line))
                .or_else(|| node(line))
                .or_else(|| pytest(line))
                .or_else(|| plain(line));
            counts += found.unwrap_or_default();
        }
        counts
    }
}

/// `Summary [   0.005s] 3/4 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped`
fn nextest(line: &str) -> Option<Counts> {
    let (_, list) = line.strip_prefix("Summary [")?.split_once(" run: ")?;
    let count = |word| number_before(list, word).unwrap_or(0);
    Some(Counts {
        passed: count("passed"),
        failed: count("failed") + count("timed out") + count("exec failed"),
        skipped: count("skipped"),
    })
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn cargo_test(line: &str) -> Option<Counts> {
    let list = line.strip_prefix("test result: ")?;
    Some(Counts {
        passed: number_before(list, "passed")?,
        failed: number_before(list, "failed")?,
        skipped: number_before(list, "ignored")?,
    })
}

/// `# pass 3` or `ℹ fail 0`, each on its own line. Cancelled tests count as failed.
fn node(line: &str) -> Option<Counts> {
    let list = line
        .strip_prefix("# ")
        .or_else(|| line.strip_prefix("ℹ "))?;
    let (word, number) = list.split_once(' ')?;
    let number = number.parse().ok()?;
    let mut counts = Counts::default();
    match word {
        "pass" => counts.passed = number,
        "fail" | "cancelled" => counts.failed = number,
        "skipped" => counts.skipped = number,
        _ => return None,
    }
    Some(counts)
}

/// `==== 1 failed, 3 passed, 1 skipped, 2 subtests passed in 1.03s ====`. Each named check in a
/// test is a subtest; a failed subtest is also in `failed`. A failure before or after a test is an
/// error.
fn pytest(line: &str) -> Option<Counts> {
    let (list, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) || !time.contains('s') {
        return None;
    }
    let mut counts = Counts::default();
    for item in list.split(", ") {
        let (number, word) = item.split_once(' ')?;
        let number: usize = number.parse().ok()?;
        match word {
            "passed" | "subtests passed" => counts.passed += number,
            "failed" | "error" | "errors" => counts.failed += number,
            "skipped" => counts.skipped += number,
            "deselected" | "warning" | "warnings" => {}
            _ => return None,
        }
    }
    Some(counts)
}

/// `3 passed, 0 failed`, alone on a line.
fn plain(line: &str) -> Option<Counts> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Counts {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
        skipped: 0,
    })
}

/// Returns the number directly before the first `word` that has one.
fn number_before(list: &str, word: &str) -> Option<usize> {
    list.match_indices(word).find_map(|(at, _)| {
        let before = list.get(..at)?.strip_suffix(' ')?;
        before.rsplit([' ', '(']).next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
