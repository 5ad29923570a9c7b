//! Counts of passed and failed tests, read from what test runners print.
//!
//! Knows nextest, cargo test, node's runner (TAP and spec), Python's unittest, and the plain line
//! `N passed, N failed`. A run may hold several summaries: they add up.

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that ran and held.
    pub passed: usize,
    /// Tests that failed, timed out, were cancelled or could not start.
    pub failed: usize,
}

impl Counts {
    /// Reads every summary line in `output`.
    pub fn read(output: &str) -> Self {
        let mut counts = Self::default();
        let mut unittest_ran = 0;
        for line in output.lines().map(str::trim) {
            let found = if line.starts_with("Ran ") {
                unittest_ran = number_before(line, "test").unwrap_or(0);
                None
            } else if line == "OK" || line.starts_with("OK (") || line.starts_with("FAILED (") {
                unittest(line, std::mem::take(&mut unittest_ran))
            } else {
                nextest(line)
                    .or_else(|| cargo_test(line))
                    .or_else(|| node(line))
                    .or_else(|| plain(line))
            };
            if let Some(found) = found {
                counts.passed += found.passed;
                counts.failed += found.failed;
            }
        }
        counts
    }
}

/// `Summary [   0.005s] 3/4 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped`
fn nextest(line: &str) -> Option<Counts> {
    let (_, list) = line.strip_prefix("Summary [")?.split_once(" run: ")?;
    let count = |word| number_before(list, word).unwrap_or(0);
    let failed = count("failed") + count("timed out") + count("exec failed");
    Some(Counts {
        passed: count("passed"),
        failed,
    })
}

/// `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn cargo_test(line: &str) -> Option<Counts> {
    let list = line.strip_prefix("test result: ")?;
    Some(Counts {
        passed: number_before(list, "passed")?,
        failed: number_before(list, "failed")?,
    })
}

/// `# pass 3` or `ℹ fail 0`, each on a line of its own. Cancelled tests have failed.
fn node(line: &str) -> Option<Counts> {
    let list = line
        .strip_prefix("# ")
        .or_else(|| line.strip_prefix("ℹ "))?;
    let (word, number) = list.split_once(' ')?;
    let number = number.parse().ok()?;
    match word {
        "pass" => Some(Counts {
            passed: number,
            failed: 0,
        }),
        "fail" | "cancelled" => Some(Counts {
            passed: 0,
            failed: number,
        }),
        _ => None,
    }
}

/// `FAILED (failures=1, errors=2)` or `OK (skipped=1)`, after a line with how many ran.
fn unittest(line: &str, ran: usize) -> Option<Counts> {
    let list = line
        .split_once('(')
        .map_or("", |(_, list)| list.trim_end_matches(')'));
    let (mut failed, mut skipped) = (0, 0);
    for (word, number) in list.split(", ").filter_map(|item| item.split_once('=')) {
        let number: usize = number.parse().ok()?;
        match word {
            "skipped" | "expected failures" => skipped += number,
            _ => failed += number,
        }
    }
    Some(Counts {
        passed: ran.saturating_sub(failed + skipped),
        failed,
    })
}

/// `3 passed, 0 failed`, alone on a line.
fn plain(line: &str) -> Option<Counts> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Counts {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
    })
}

/// Returns the number that stands right before `word`, at the first place where one does.
fn number_before(list: &str, word: &str) -> Option<usize> {
    list.match_indices(word).find_map(|(at, _)| {
        let before = list.get(..at)?.strip_suffix(' ')?;
        before.rsplit([' ', '(']).next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
