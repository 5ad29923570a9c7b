//! `tidings health`: asks the hub with the same configuration whether it is ready. For the health
//! check of containers, which contain no other program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use ureq::tls::TlsConfig;

use super::print;
use crate::config::{Config, env, read};

/// Ask the hub that runs with this configuration whether it is ready
///
/// Uses the admin address if there is one, else the first address that the hub listens on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Configuration file [default: tidings.toml in this folder or in /etc/tidings, if it exists]
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read(arguments.config.as_deref(), &env::variables()).into_config()?;
    let url = url(&config)?;
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        // The certificate is for the hub's name, not for this address, and readiness is no secret.
        .tls_config(
            TlsConfig::builder()
                .disable_verification(true)
                .unversioned_rustls_crypto_provider(std::sync::Arc::new(
                    rustls::crypto::aws_lc_rs::default_provider(),
                ))
                .build(),
        )
        .build()
        .new_agent();
    let answer = agent.get(&url).call();
    let answer = match answer {
        Ok(answer) => answer,
        Err(ureq::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return not_ready(
                arguments,
                &url,
                "nothing listens there: is the hub running?",
            );
        }
        Err(error) => return not_ready(arguments, &url, &error.to_string()),
    };
    let status = answer.status();
    let body = answer.into_body().read_to_string().unwrap_or_default();
    if status != http::StatusCode::OK {
        return not_ready(arguments, &url, &format!("answered {status}: {body}"));
    }
    match arguments.json {
        true => print::json(&serde_json::json!({"ready": true, "url": url})),
        false => print::output("ready\n"),
    }
}

fn not_ready(arguments: &Arguments, url: &str, why: &str) -> anyhow::Result<()> {
    if arguments.json {
        print::json(&serde_json::json!({"ready": false, "url": url, "why": why}))?;
    }
    bail!("{url}: {why}")
}

fn url(config: &Config) -> anyhow::Result<String> {
    let listens = config.listens.iter();
    let listens = listens.map(|listen| (listen.address, listen.tls));
    let admin = config.admin.iter().map(|&address| (address, false));
    let (address, tls) = admin
        .chain(listens)
        .next()
        .context("the configuration has no address to listen on")?;
    if address.port() == 0 {
        bail!("the port is 0, so the system chooses it: write the hub's actual port");
    }
    let scheme = if tls { "https" } else { "http" };
    Ok(format!("{scheme}://{}/health/ready", reachable(address)))
}

/// Returns an address of this machine at which a listener on `address` can be reached.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        // A listener on every IPv6 address is one on every IPv4 address too.
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

/// Timeout for the response.
const PATIENCE: Duration = Duration::from_secs(4);

const EXAMPLES: &str = "\
Examples:
  tidings health
  tidings health --config /etc/tidings/tidings.toml

Exit codes: 0 ready, 1 not ready or not there, 2 wrong configuration.";
