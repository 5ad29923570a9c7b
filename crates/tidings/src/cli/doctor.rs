//! `tidings doctor`: looks for what will hurt a hub on this machine, and names the line to change.
//!
//! It changes nothing, needs no running hub, and reads what the hub of the same configuration would read.

mod certificate;
mod engine;
mod issuers;
mod machine;
mod outside;
mod running;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use self::running::Running;
use super::print;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::{Config, env, read};

/// Check this machine and the configuration for problems
///
/// Checks the configuration, the limits of the system, the disk, certificates, the keys of issuers and their clocks,
/// and, with --url, what the proxies in between do. Each finding says why it matters and what to change. Nothing is
/// changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// The hub's URL as browsers see it, to test whether proxies pass on events as they come. Needs `pages.diagnose`
    #[arg(long, value_name = "URL")]
    url: Option<url::Url>,

    /// File with further certificates to trust for --url, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,

    /// Folder in which to find proc and sys: of the host, where it is mounted in a container
    #[arg(long, value_name = "DIR", default_value = "/")]
    system: PathBuf,
}

/// How long an issuer, a hub or an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It will hurt under load, or later.
    Warning,
    /// It hurts now, or keeps the hub from starting.
    Problem,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// Why it matters. Empty if all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// The line to change.
    #[serde(skip_serializing_if = "String::is_empty")]
    change: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            why: String::new(),
            change: String::new(),
        }
    }

    fn warning(
        check: &'static str,
        found: impl Into<String>,
        why: &str,
        change: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            why: why.to_owned(),
            change: change.into(),
            ..Self::ok(check, found)
        }
    }

    fn problem(
        check: &'static str,
        found: impl Into<String>,
        why: &str,
        change: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Problem,
            ..Self::warning(check, found, why, change)
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut findings = findings(arguments.config.as_deref(), &arguments.system);
    if let Some(url) = &arguments.url {
        findings.push(outside::events(url, arguments.ca.as_deref()));
    }
    let problems = findings
        .iter()
        .filter(|finding| finding.level == Level::Problem);
    let problems = problems.count();
    if arguments.json {
        print::json(&serde_json::json!({"ok": problems == 0, "findings": findings}))?;
    } else {
        print::output(&findings.iter().map(told).collect::<String>())?;
    }
    match problems {
        0 => Ok(()),
        1 => bail!("one problem"),
        several => bail!("{several} problems"),
    }
}

fn findings(path: Option<&Path>, system: &Path) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let reading = read(path, &env::variables());
    let mut findings = Vec::new();
    match reading.into_config() {
        Err(ConfigErrors(errors)) => {
            let why = "the hub does not start with it";
            findings.extend(errors.iter().map(|error| {
                let error = error.to_string();
                let change = line_of(&error);
                Finding::problem(CHECK, error.as_str(), why, change)
            }));
            findings.extend(machine::without_config(system));
        }
        Ok(config) => {
            findings.push(Finding::ok(CHECK, "usable"));
            let warnings = config.warnings.iter();
            findings.extend(warnings.map(|warning| {
                let why = "the hub starts with it and logs this each time";
                Finding::warning(CHECK, warning, why, line_of(warning))
            }));
            findings.extend(unwritable(&config));
            let running = Running::find(&config);
            findings.extend(machine::with_config(&config, system, &running));
            findings.extend(certificate::check(&config));
            findings.extend(issuers::check(&config));
            findings.extend(engine::check(&config));
            findings.extend(running.check());
        }
    }
    findings
}

fn unwritable(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "data folder";
    let Err(ConfigErrors(errors)) = config.check_writable() else {
        return vec![Finding::ok(CHECK, "can be written")];
    };
    let finding = |error: &ConfigError| {
        let change = "give the folder to the user that runs the hub";
        Finding::problem(
            CHECK,
            error.to_string(),
            "the hub cannot store updates",
            change,
        )
    };
    errors.iter().map(finding).collect()
}

/// Returns what a message about the configuration begins with: its key, variable or file.
fn line_of(message: &str) -> &str {
    let end = message.find([':', ' ']);
    end.and_then(|end| message.get(..end)).unwrap_or(message)
}

/// Returns a finding for people.
fn told(finding: &Finding) -> String {
    let Finding {
        check,
        level,
        found,
        why,
        change,
    } = finding;
    let word = match level {
        Level::Ok => "ok      ",
        Level::Warning => "warning ",
        Level::Problem => "PROBLEM ",
    };
    let mut text = format!("{word} {check}: {found}\n");
    for (name, line) in [("why", why), ("change", change)] {
        if !line.is_empty() {
            text.push_str(&format!("         {name}: {line}\n"));
        }
    }
    text
}

const EXAMPLES: &str = "\
Examples:
  tidings doctor --config /etc/tidings/tidings.toml
  tidings doctor --url https://hub.example.com/.well-known/mercure

Exit codes: 0 nothing worse than a warning, 1 a problem.
Run it as the user that runs the hub.";
