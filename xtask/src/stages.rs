//! Stages: runs commands and checks, shows their output, and counts results. Stages run one after
//! another, but for some that mostly wait and run beside others.
//!
//! This file has names, times, counts and the closing lines. `counts.rs` parses the counts of test
//! runners.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::counts::Counts;

/// The number of stages in the closing list of the slowest.
const SLOWEST_MAX: usize = 5;

/// The command of a stage.
pub struct Step {
    program: OsString,
    args: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    expects: Expects,
    chosen: bool,
}

/// What the output of a successful command must contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Nothing,
    /// Counts of at least one test: a runner that ran no test is a failure.
    Tests,
}

impl Step {
    /// Makes a command that runs in the root of the workspace.
    pub fn new(program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: args.iter().map(OsString::from).collect(),
            folder: None,
            environment: Vec::new(),
            expects: Expects::Nothing,
            chosen: false,
        }
    }

    /// Makes a cargo command.
    pub fn cargo(args: &[&str]) -> Self {
        Self::new("cargo", args)
    }

    /// Appends arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs in `folder` instead of the root.
    pub fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Makes the stage fail if no test was counted.
    pub fn must_count(mut self) -> Self {
        self.expects = Expects::Tests;
        self
    }

    /// Runs only chosen tests: the others are not counted as skipped.
    pub fn only_chosen(mut self) -> Self {
        self.chosen = true;
        self
    }

    fn text(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A finished stage.
struct Finished {
    name: String,
    took: Duration,
    counts: Counts,
    failure: Option<String>,
}

/// When the output of a command is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Line by line, as it comes.
    AsItComes,
    /// As a whole at the end, so that it does not mix with that of another stage.
    AtTheEnd,
}

/// The stages of one command, in the order in which they ended.
pub struct Stages {
    root: PathBuf,
    started: Instant,
    shown: Shown,
    finished: Vec<Finished>,
}

impl Stages {
    /// Starts without any stage. Commands run in `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            started: Instant::now(),
            shown: Shown::AsItComes,
            finished: Vec::new(),
        }
    }

    /// Runs stages that mostly wait, such as downloads, beside others. What their commands write is shown
    /// as a whole when each ends.
    pub fn beside(
        &mut self,
        waiting: impl FnOnce(&mut Self) + Send,
        others: impl FnOnce(&mut Self),
    ) {
        let mut background = Self {
            shown: Shown::AtTheEnd,
            ..Self::new(&self.root)
        };
        let finished = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                waiting(&mut background);
                background.finished
            });
            others(self);
            waiting.join()
        });
        match finished {
            Ok(finished) => self.finished.extend(finished),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs a command as a stage.
    pub fn run(&mut self, name: &str, step: &Step) {
        println!("\n== {name}: {}", step.text());
        let started = Instant::now();
        let (counts, failure) = match execute(step, &self.root, self.shown) {
            Ok((status, output)) => {
                if self.shown == Shown::AtTheEnd {
                    print!("\n== {name} wrote:\n{output}");
                }
                let mut counts = Counts::read(&output);
                if step.chosen {
                    counts.skipped = 0;
                }
                let failure = judge(step, status.success(), counts, &status.to_string());
                (counts, failure)
            }
            Err(error) => (Counts::default(), Some(format!("{error:#}"))),
        };
        self.close(name, started, counts, failure);
    }

    /// Runs one of our own checks as a stage. Each returned problem counts as one failure.
    pub fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<Vec<String>>) {
        println!("\n== {name}");
        let started = Instant::now();
        let (counts, failure) = match check() {
            Ok(problems) => {
                problems.iter().for_each(|problem| println!("{problem}"));
                let counts = Counts::failed(problems.len());
                (
                    counts,
                    (!problems.is_empty()).then(|| format!("{} problems", problems.len())),
                )
            }
            Err(error) => (Counts::default(), Some(format!("{error:#}"))),
        };
        self.close(name, started, counts, failure);
    }

    fn close(&mut self, name: &str, started: Instant, counts: Counts, failure: Option<String>) {
        let took = started.elapsed();
        match &failure {
            Some(reason) => println!(
                "== {name} FAILED after {:.1} s: {reason}",
                took.as_secs_f64()
            ),
            None => println!("== {name} ok, {:.1} s", took.as_secs_f64()),
        }
        self.finished.push(Finished {
            name: name.to_owned(),
            took,
            counts,
            failure,
        });
    }

    /// Prints the summary; its last line has the counts. Returns whether every stage succeeded.
    pub fn finish(self) -> bool {
        println!(
            "\n{} stages in {:.1} s; the slowest:",
            self.finished.len(),
            self.started.elapsed().as_secs_f64()
        );
        let mut slowest: Vec<&Finished> = self.finished.iter().collect();
        slowest.sort_by_key(|stage| std::cmp::Reverse(stage.took));
        for stage in slowest.iter().take(SLOWEST_MAX) {
            println!("{:>8.1} s  {}", stage.took.as_secs_f64(), stage.name);
        }
        for stage in &self.finished {
            if let Some(reason) = &stage.failure {
                println!("FAILED: {}: {reason}", stage.name);
            }
        }
        let counts = sum(&self.finished);
        println!("{counts}");
        counts.failed == 0
    }
}

/// Adds up the counts. A stage that failed without a counted failure counts as one.
fn sum(finished: &[Finished]) -> Counts {
    let mut total = Counts::default();
    for stage in finished {
        let at_least = usize::from(stage.failure.is_some());
        total += Counts {
            failed: stage.counts.failed.max(at_least),
            ..stage.counts
        };
    }
    total
}

/// Returns why a finished command counts as failed, if it does.
fn judge(step: &Step, success: bool, counts: Counts, status: &str) -> Option<String> {
    if !success {
        return Some(status.to_owned());
    }
    if counts.failed > 0 {
        return Some(format!(
            "{} failed, although it ended with success",
            counts.failed
        ));
    }
    (step.expects == Expects::Tests && counts.passed == 0).then(|| "it ran no test".to_owned())
}

/// Runs the command, shows its output if that is wanted, and returns it with both streams mixed.
fn execute(step: &Step, root: &Path, shown: Shown) -> anyhow::Result<(ExitStatus, String)> {
    let mut command = Command::new(&step.program);
    command
        .args(&step.args)
        .current_dir(step.folder.as_deref().unwrap_or(root));
    command.envs(step.environment.iter().map(|(name, value)| (name, value)));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", step.text()))?;
    let stdout = child.stdout.take().context("the command has no output")?;
    let stderr = child
        .stderr
        .take()
        .context("the command has no error output")?;
    let output = Mutex::new(String::new());
    std::thread::scope(|scope| {
        scope.spawn(|| read(stdout, &output, shown));
        scope.spawn(|| read(stderr, &output, shown));
    });
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {}", step.text()))?;
    Ok((
        status,
        output.into_inner().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// Copies lines to `output`, and to our output if they are shown as they come, until the stream ends.
/// Invalid UTF-8 becomes replacement characters.
fn read(stream: impl Read, output: &Mutex<String>, shown: Shown) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&line);
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        if shown == Shown::AsItComes {
            // A closed terminal must not make a test fail.
            std::io::stdout().write_all(text.as_bytes()).ok();
        }
        output.push_str(&text);
        drop(output);
        line.clear();
    }
}

#[cfg(test)]
mod tests;
