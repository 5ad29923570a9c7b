//! `tidings config check`, `config show`, `config docs`.

use std::path::PathBuf;

use super::print;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::{check, docs, env, load, show};
use crate::tls::{Certificate, CertificateError};

/// Check, show or explain the configuration
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Say "ok", or what is wrong and what to write (exit code 2)
    Check(Arguments),
    /// Print the effective values with the origin of each; secrets are hidden
    Show(Arguments),
    /// Print the manual of all keys, as Markdown
    #[command(after_help = EXAMPLES)]
    Docs,
}

/// Which configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration file. Without it, tidings.toml here or in /etc/tidings, if there is one
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Check(arguments) => {
            let settings = load(arguments.config.as_deref(), &env::variables())?;
            let config = check::check(&settings.to_file()?)?;
            if let Some(files) = config.tls {
                Certificate::read(files).map_err(not_usable)?;
            }
            print::output("ok\n")
        }
        Command::Show(arguments) => {
            let settings = load(arguments.config.as_deref(), &env::variables())?;
            print::output(&show::toml(&settings))
        }
        Command::Docs => print::output(&docs::markdown()),
    }
}

fn not_usable(error: CertificateError) -> ConfigErrors {
    ConfigErrors(vec![ConfigError::Invalid {
        key: "tls".to_owned(),
        reason: Box::new(error),
    }])
}

const EXAMPLES: &str = "\
Examples:
  tidings config check --config tidings.toml
  TIDINGS_LOG__LEVEL=debug tidings config show
  tidings config docs | less

Exit codes: 0 usable, 2 not usable.";
