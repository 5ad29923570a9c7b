//! `tidings cluster init`, `tidings cluster adopt`, `tidings cluster status` and `tidings cluster schema`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::json;
use tidings_cluster::engine::Sender;
use tidings_cluster::safety::{Finding, Severity};
use tidings_postgresql::{Roles, SCHEMA_VERSION};

use super::print;
use crate::cluster::{self, Adopted, Begun, EngineOptions, Options};
use crate::config::{env, read};
use crate::server;

/// Create a cluster, or show the state of its engine
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Create the cluster of a configuration; nothing changes if it exists already
    ///
    /// Needed once for hubs with `cluster.create = false`.
    Init(Arguments),
    /// Create the cluster of a configuration with the history of its hub, which has run alone
    ///
    /// The hub must be stopped. Its event ids stay valid, on every hub of the cluster. The name of the
    /// cluster must not be in use.
    Adopt(Arguments),
    /// Show what the engine has under the cluster's name, and what makes it unsafe
    Status(Arguments),
    /// Print or apply the tables and functions that a cluster over PostgreSQL needs
    ///
    /// They may be applied again at any time, also while hubs run, and are applied when the hubs are
    /// upgraded. Printed, somebody else can run them: `tidings cluster schema --hub tidings | psql`.
    Schema(SchemaArguments),
}

/// Which cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration of a hub of the cluster [default: tidings.toml in this folder or in
    /// /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Which schema, and for whom.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArguments {
    /// Configuration of a hub of the cluster [default: tidings.toml in this folder or in
    /// /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Apply it at cluster.url as the configured user, instead of printing it
    #[arg(long)]
    apply: bool,

    /// Role as which hubs log in, if it does not own the schema
    #[arg(long, value_name = "ROLE")]
    hub: Option<String>,

    /// Role as which applications publish: it may call publish() and position()
    #[arg(long, value_name = "ROLE")]
    publisher: Option<String>,
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => init(arguments),
        Command::Adopt(arguments) => adopt(arguments),
        Command::Status(arguments) => status(arguments),
        Command::Schema(arguments) => schema(arguments),
    }
}

fn options(config: Option<&Path>) -> anyhow::Result<Options> {
    let config = read(config, &env::variables()).into_config()?;
    config.cluster.context(ALONE)
}

fn init(arguments: &Arguments) -> anyhow::Result<()> {
    let options = options(arguments.config.as_deref())?;
    let (begun, findings) = cluster::begin(&options)?;
    let name = options.engine.cluster().to_string();
    if arguments.json {
        let begun = begun == Begun::Now;
        return print::json(
            &json!({"cluster": name, "begun": begun, "warnings": texts(&findings)}),
        );
    }
    for finding in &findings {
        print::error(&format!("warning: {finding}"));
    }
    print::output(&match begun {
        Begun::Now => format!("the cluster {name} is begun\n"),
        Begun::Before => format!("there is a cluster {name} already; nothing was changed\n"),
    })
}

fn adopt(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read(arguments.config.as_deref(), &env::variables()).into_config()?;
    let options = config.cluster.context(ALONE)?;
    let Adopted { last, findings } = cluster::adopt(&options, &config.history, server::clock())?;
    let name = options.engine.cluster().to_string();
    if arguments.json {
        let warnings = texts(&findings);
        return print::json(&json!({"cluster": name, "last": last, "warnings": warnings}));
    }
    for finding in &findings {
        print::error(&format!("warning: {finding}"));
    }
    print::output(&format!(
        "the cluster {name} is begun with the history of this hub, {last} updates so far: start the \
         hub, and then the others\n"
    ))
}

fn schema(arguments: &SchemaArguments) -> anyhow::Result<()> {
    let options = options(arguments.config.as_deref())?;
    let EngineOptions::Postgresql(options) = options.engine else {
        bail!("cluster.engine is not \"postgresql\", and only PostgreSQL has a schema");
    };
    let roles = Roles {
        hub: arguments.hub.clone(),
        publisher: arguments.publisher.clone(),
    };
    if !arguments.apply {
        return print::output(&tidings_postgresql::schema(&options.name, &roles));
    }
    cluster::apply(&options, &roles)?;
    print::output(&format!(
        "the schema {} has version {SCHEMA_VERSION} now\n",
        options.name
    ))
}

fn status(arguments: &Arguments) -> anyhow::Result<()> {
    let options = options(arguments.config.as_deref())?;
    let cluster::Seen {
        findings,
        line,
        hubs,
        untold: _,
        held,
    } = cluster::look(&options)?;
    let name = options.engine.cluster().to_string();
    let is_safe = findings.iter().all(|one| one.severity == Severity::Warn);
    if arguments.json {
        let line = line.map(|line| {
            json!({
                "epoch": line.epoch.to_string(),
                "first": line.oldest.get(),
                "last": line.last.get(),
            })
        });
        let hubs: Vec<_> = hubs
            .iter()
            .map(|hub| json!({"id": hub.holder.node.to_string(), "alive": hub.alive}))
            .collect();
        let shown = json!({
            "cluster": name, "safe": is_safe, "log": line, "hubs": hubs,
            "leases": leases(&held), "findings": texts(&findings),
        });
        print::json(&shown)?;
    } else {
        let mut text = match line {
            None => format!("cluster  {name}: the engine has none of this name\n"),
            Some(line) => {
                let (first, last) = (line.oldest.get(), line.last.get());
                let held = (last + 1).saturating_sub(first);
                format!(
                    "cluster  {name}\nepoch    {}\nupdates  {last} so far, of which the engine \
                     holds the last {held}\n",
                    line.epoch
                )
            }
        };
        for hub in &hubs {
            let state = if hub.alive { "alive" } else { "gone" };
            text.push_str(&format!("hub      {} {state}\n", hub.holder.node));
        }
        for (lease, holder) in &held {
            let by = holder.map_or_else(|| "nobody".to_owned(), |by| by.node.to_string());
            text.push_str(&format!("lease    {lease} held by {by}\n"));
        }
        for finding in &findings {
            let word = match finding.severity {
                Severity::Warn => "warning",
                Severity::Refuse => "unsafe",
            };
            text.push_str(&format!("{word}  {finding}\n"));
        }
        print::output(&text)?;
    }
    if !is_safe {
        bail!("hubs do not start with this engine until it is changed");
    }
    Ok(())
}

/// Returns who does what one hub of the cluster does, by name.
fn leases(held: &[(Arc<str>, Option<Sender>)]) -> serde_json::Value {
    let by = |holder: &Option<Sender>| holder.map(|by| by.node.to_string());
    held.iter()
        .map(|(lease, holder)| (lease.to_string(), json!(by(holder))))
        .collect()
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

const ALONE: &str = "cluster.engine is \"none\" in this configuration, so its hub is alone";

const EXAMPLES: &str = "\
Examples:
  tidings cluster init --config /etc/tidings/tidings.toml
  tidings cluster adopt --config /etc/tidings/tidings.toml
  tidings cluster status --config /etc/tidings/tidings.toml --json
  tidings cluster schema --config /etc/tidings/tidings.toml --apply

Exit codes: 0 done or safe, 1 no answer or unsafe, 2 wrong configuration.";
