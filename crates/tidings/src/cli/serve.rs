//! `tidings serve`: reads the configuration, checks it, runs the server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{log, print};
use crate::binding::inherited::Inherited;
use crate::config::change::Source;
use crate::config::{USUAL_FILES, env, read};
use crate::notify::Notifier;
use crate::server::{self, Beginning, Control, Reloading, Succeeds};
use crate::signals::Hangup;
use crate::telemetry::output;

/// Run a hub for production
///
/// Reads its settings from a file and the environment; `tidings config docs` lists the keys.
/// Unknown, missing and contradictory settings are errors that say how to fix them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Take over from the hub that runs in the same data folder, without a gap
    ///
    /// Gets its listeners, so that connections wait instead of being refused, and its history. The
    /// earlier process ends its streams over `server.drain_secs`, and then itself. Without a running
    /// hub this changes nothing.
    #[arg(long)]
    take_over: bool,

    /// Socket of the service manager that is told how the hub is doing; see sd_notify(3)
    #[arg(long, hide = true, env = "NOTIFY_SOCKET", hide_env = true)]
    notify_socket: Option<OsString>,

    /// Microseconds within which the service manager wants to hear of the hub
    #[arg(long, hide = true, env = "WATCHDOG_USEC", hide_env = true)]
    watchdog_usec: Option<u64>,
}

/// Runs the command until the server ends.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // First, while there is one thread: it looks at the environment.
    let passed = Inherited::from_environment()
        .context("a socket that the service manager passed cannot be used")?;
    let control = Control::start(Hangup::Reloads)?;
    let reading = read(arguments.config.as_deref(), &env::variables());
    let inherited = reading.settings.inherited();
    let unread = reading.settings.unread().to_vec();
    let services = reading.settings.service_variables().join(", ");
    let settings = reading.settings.clone();
    let config = reading.into_config().inspect_err(|_| {
        if arguments.config.is_none() && !USUAL_FILES.iter().any(|file| Path::new(file).exists()) {
            print::error(NO_FILE);
        }
    })?;
    config.check_writable()?;
    log::start(&config.log)?;
    if let Some(path) = &config.log.access_file {
        output::open_access_log(path)
            .with_context(|| format!("log.access_file: cannot write {}", path.display()))?;
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !inherited.is_empty() {
        let names = inherited.join(", ");
        tracing::info!(names, "using settings of another Mercure hub");
    }
    if !services.is_empty() {
        tracing::info!(
            names = services,
            "ignoring variables of Kubernetes Services"
        );
    }
    for unread in unread {
        tracing::warn!(name = unread.name, why = unread.why, "setting not read");
    }
    let beginning = Beginning {
        inherited: passed,
        succeeds: match arguments.take_over {
            true => Succeeds::Running,
            false => Succeeds::Nobody,
        },
        reloading: Some(Reloading::new(
            Source::new(arguments.config.as_deref(), settings, &config),
            Box::new(|config| log::set_level(&config.log)),
        )),
        notifier: notifier(arguments),
    };
    server::run(control, config, beginning, |config| {
        tracing::info!(hub = config.hub.as_str(), "ready")
    })
}

/// Finds the service manager. The hub does without one that cannot be reached.
fn notifier(arguments: &Arguments) -> Notifier {
    let Some(socket) = &arguments.notify_socket else {
        return Notifier::default();
    };
    Notifier::connect(socket, arguments.watchdog_usec).unwrap_or_else(|error| {
        let socket = socket.display();
        tracing::warn!(%error, %socket, "cannot reach the service manager (NOTIFY_SOCKET)");
        Notifier::default()
    })
}

/// For who starts a hub where nothing is configured.
const NO_FILE: &str = "there is no tidings.toml in this folder or in /etc/tidings: `tidings init` \
                       writes one; `tidings dev` needs none";

const EXAMPLES: &str = "\
Examples:
  tidings serve --config /etc/tidings/tidings.toml
  tidings serve --config /etc/tidings/tidings.toml --take-over
  TIDINGS_LOG__LEVEL=debug tidings serve";
