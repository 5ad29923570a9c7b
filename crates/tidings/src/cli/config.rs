//! `tidings config check`, `config show`, `config import`, `config docs`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::print;
use crate::certificate::pair::{self, CertificateError};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::{Config, docs, env, load, mercure, read, show};
use crate::telemetry::metrics::reference;
use crate::text_file;

/// Check, show or explain the configuration
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Print "ok", or each error and how to fix it (exit code 2)
    Check(Arguments),
    /// Print the effective values with the origin of each; secrets are hidden
    Show(Arguments),
    Import(Import),
    /// Print the manual of all keys, as Markdown
    #[command(after_help = EXAMPLES)]
    Docs {
        /// The reference of all metrics instead
        #[arg(long)]
        metrics: bool,
    },
}

/// Which configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Import the `mercure` block of a Caddyfile
///
/// Writes a configuration with every setting that has an equivalent, and lists those that have
/// none. The file contains the token keys of the Caddyfile: keep it secret.
#[derive(Debug, clap::Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct Import {
    /// The Caddyfile
    #[arg(value_name = "CADDYFILE")]
    caddyfile: PathBuf,

    /// Output file; - writes to standard output
    #[arg(long, value_name = "FILE", default_value = "tidings.toml")]
    output: PathBuf,

    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Check(arguments) => {
            let mut reading = read(arguments.config.as_deref(), &env::variables());
            let file = |key: &str| {
                let entry = reading.settings.find(key)?;
                Some(PathBuf::from(entry.value.as_str()?))
            };
            if let (Some(certificate), Some(key)) = (file("tls.certificate"), file("tls.key"))
                && let Err(error) = pair::load(&certificate, &key)
            {
                reading.errors.push(not_usable(error));
            }
            let checked = reading.into_config();
            let checked = checked.and_then(|config| config.check_writable().map(|()| config));
            if arguments.json {
                print::json(&verdict(&checked))?;
            }
            let config = checked?;
            for warning in &config.warnings {
                print::error(&format!("warning: {warning}"));
            }
            match arguments.json {
                true => Ok(()),
                false => print::output("ok\n"),
            }
        }
        Command::Show(arguments) => {
            let settings = load(arguments.config.as_deref(), &env::variables())?;
            match arguments.json {
                true => print::json(&show::json(&settings)),
                false => print::output(&show::toml(&settings)),
            }
        }
        Command::Import(arguments) => import(arguments),
        // Its first line is for those who edit the file in the repository.
        Command::Docs { metrics: false } => print::output(&docs::manual()),
        Command::Docs { metrics: true } => print::output(&reference::table()),
    }
}

fn verdict(checked: &Result<Config, ConfigErrors>) -> serde_json::Value {
    match checked {
        Ok(config) => serde_json::json!({"ok": true, "warnings": config.warnings, "errors": []}),
        Err(ConfigErrors(errors)) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            serde_json::json!({"ok": false, "warnings": [], "errors": errors})
        }
    }
}

fn import(arguments: &Import) -> anyhow::Result<()> {
    let path = &arguments.caddyfile;
    let text = text_file::read(path).with_context(|| path.display().to_string())?;
    let variables = env::variables();
    let environment = mercure::Environment(&variables);
    let lookup = |name: &str| environment.look_up(name);
    let import =
        mercure::import::caddyfile(&text, &lookup).with_context(|| path.display().to_string())?;
    for unread in &import.translation.unread {
        print::error(&format!("not imported: {}: {}", unread.name, unread.why));
    }
    if arguments.output == Path::new("-") {
        return print::output(&import.toml);
    }
    write(arguments, &import.toml)?;
    let output = arguments.output.display();
    print::error(&format!(
        "wrote {output}; `tidings config check --config {output}` reports what is still missing"
    ));
    Ok(())
}

/// Writes the configuration so that only its owner can read it, because it contains keys.
fn write(arguments: &Import, toml: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = &arguments.output;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    if arguments.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options
        .open(path)
        .with_context(|| format!("{} (--force replaces one that is there)", path.display()))?;
    file.write_all(toml.as_bytes())
        .with_context(|| path.display().to_string())
}

fn not_usable(error: CertificateError) -> ConfigError {
    ConfigError::Invalid {
        key: "tls".to_owned(),
        reason: Box::new(error),
    }
}

const EXAMPLES: &str = "\
Examples:
  tidings config check --config tidings.toml
  TIDINGS_LOG__LEVEL=debug tidings config show
  tidings config docs | less

Exit codes: 0 usable, 2 not usable.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  tidings config import /etc/caddy/Caddyfile
  tidings config import Caddyfile --output -";
