//! The hub that `publish` and `subscribe` talk to: its URL, the token, and requests to it.
//!
//! Without `--hub` it is the hub of a context (`cli/context.rs`), and else the one that `tidings dev`
//! runs in this folder, as its data folder says.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidings_auth::Role;
use tidings_wire::{byte_order_mark, redact};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use self::failure::NoResponse;
use super::context::Contexts;
use super::dev_folder::{DEFAULT_DATA, DevFolder};
use super::{Usage, print};
use crate::config::check::is_loopback;
use crate::text_file;

mod failure;

/// Which hub, and the token for it.
#[derive(clap::Args)]
#[command(next_help_heading = "Hub")]
#[group(skip)]
pub struct Arguments {
    /// The hub's URL with its path [default: the hub of the context, else that of `tidings dev` in
    /// this folder]
    #[arg(long, value_name = "URL", env = "TIDINGS_HUB", hide_env_values = true)]
    hub: Option<String>,

    /// Name of a hub that `tidings context add` named; `dev` is that of `tidings dev`
    #[arg(
        long,
        value_name = "NAME",
        env = "TIDINGS_CONTEXT",
        conflicts_with = "hub"
    )]
    context: Option<String>,

    /// The access token
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDINGS_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,

    /// File with the access token; takes precedence over --token and its variable
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// PEM file with certificates of authorities to trust in addition to the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Data folder of `tidings dev`, with its hub and tokens [default: tidings-data]
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["hub", "context"])]
    dev_data: Option<PathBuf>,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments")
            .field("hub", &self.hub.as_deref().map(redact::url))
            .finish_non_exhaustive()
    }
}

/// A hub to send requests to.
pub struct Hub {
    agent: ureq::Agent,
    url: url::Url,
    token: Option<String>,
}

/// An unexpected response from a hub.
#[derive(Debug, thiserror::Error)]
#[error("the hub answered {status}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub struct Refusal {
    /// The status, with its usual phrase.
    pub status: http::StatusCode,
    /// The readable part of the body.
    pub detail: String,
}

impl Hub {
    /// Finds the hub and the token for `role`.
    ///
    /// # Errors
    ///
    /// If no hub is named and `tidings dev` left none, or a file cannot be read.
    pub fn find(arguments: &Arguments, role: Role) -> anyhow::Result<Self> {
        let given = match &arguments.token_file {
            Some(file) => Some(token_in(file)?),
            None => arguments.token.clone(),
        };
        let Place { url, token, ca } = place(arguments, role)?;
        let url = url::Url::parse(&url).with_context(|| format!("--hub {}", redact::url(&url)))?;
        let ca = arguments.ca.as_deref().or(ca.as_deref());
        let agent = agent(ca, &url)?;
        Ok(Self {
            agent,
            url,
            token: given.or(token),
        })
    }

    /// Returns the hub's URL without its secret parts.
    fn shown(&self) -> String {
        redact::url(self.url.as_str())
    }

    /// Returns whether there is a token to present.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Posts a form and returns the body of the response.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the response is not 200; otherwise why there is no response.
    pub fn post(&self, form: &str) -> anyhow::Result<String> {
        let mut request = self
            .agent
            .post(self.url.as_str())
            .header("Content-Type", "application/x-www-form-urlencoded");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request
            .send(form)
            .map_err(|error| self.no_response(&error))?;
        let status = answer.status();
        let body = read_text(answer);
        match status {
            http::StatusCode::OK => Ok(body),
            _ => Err(self.refusal(status, &body).into()),
        }
    }

    /// Reads an unexpected response.
    pub fn refused(&self, answer: http::Response<ureq::Body>) -> Refusal {
        let status = answer.status();
        self.refusal(status, &read_text(answer))
    }

    fn refusal(&self, status: http::StatusCode, body: &str) -> Refusal {
        let mut refusal = refusal(status, body);
        let nothing_there = matches!(status.as_u16(), 404 | 405);
        if nothing_there && self.url.path() == "/" {
            let gap = if refusal.detail.is_empty() { "" } else { "; " };
            refusal.detail.push_str(&format!(
                "{gap}{} lacks the hub's path, which is usually /.well-known/mercure",
                self.shown()
            ));
        }
        refusal
    }

    fn no_response(&self, error: &ureq::Error) -> NoResponse {
        NoResponse::new(error, &self.url, &self.shown())
    }

    /// Subscribes with the given query: by a long poll that waits for so many seconds, or by an event
    /// stream. A hub that knows no long polling answers with a stream.
    ///
    /// # Errors
    ///
    /// Why there is no response. The caller checks the status of a response.
    pub fn open(
        &self,
        query: &[(&str, &str)],
        wait_secs: Option<u64>,
    ) -> Result<http::Response<ureq::Body>, NoResponse> {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(query);
        let mut request = self.agent.get(url.as_str());
        request = match wait_secs {
            Some(secs) => request.header("Prefer", format!("wait={secs}")),
            None => request.header("Accept", "text/event-stream"),
        };
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|error| self.no_response(&error))
    }
}

/// A hub that was found, with the token and the authorities that belong to it.
struct Place {
    url: String,
    token: Option<String>,
    ca: Option<PathBuf>,
}

fn place(arguments: &Arguments, role: Role) -> anyhow::Result<Place> {
    if let Some(url) = &arguments.hub {
        return Ok(Place {
            url: url.clone(),
            token: None,
            ca: None,
        });
    }
    let context = match arguments.dev_data {
        Some(_) => None,
        None => Contexts::read()?.select(arguments.context.as_deref())?,
    };
    if let Some((name, context)) = context {
        let hub = redact::url(&context.hub);
        print::error(&format!("using the hub {hub} (context {name})"));
        let token = match &context.token_file {
            Some(file) => Some(token_in(file)?),
            None => context.token,
        };
        return Ok(Place {
            url: context.hub,
            token,
            ca: context.ca,
        });
    }
    let data = arguments.dev_data.as_deref();
    let folder = DevFolder::new(data.unwrap_or_else(|| Path::new(DEFAULT_DATA)));
    if !folder.hub_path().exists() {
        return Err(Usage(
            "no hub: name one with --hub URL, or start one in this folder with `tidings dev`",
        )
        .into());
    }
    let hub = folder.hub()?;
    let path = folder.hub_path();
    print::error(&format!(
        "using the hub {} (from {})",
        redact::url(&hub.hub),
        path.display()
    ));
    Ok(Place {
        url: hub.hub,
        token: Some(match role {
            Role::Publish => hub.publisher,
            Role::Subscribe => hub.subscriber,
        }),
        ca: None,
    })
}

pub fn token_in(file: &Path) -> anyhow::Result<String> {
    let text = text_file::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}

pub fn refusal(status: http::StatusCode, body: &str) -> Refusal {
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let member = |name: &str| problem.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let text = || {
        if problem.is_none() {
            body.lines().next().map(str::to_owned)
        } else {
            None
        }
    };
    let detail = member("detail").or_else(|| member("title")).or_else(text);
    Refusal {
        status,
        detail: detail.unwrap_or_default(),
    }
}

fn read_text(answer: http::Response<ureq::Body>) -> String {
    let mut bytes = Vec::new();
    // The part that arrived before a failure is still the best explanation.
    let _ended = answer
        .into_body()
        .into_reader()
        .take(BODY_BYTES_MAX)
        .read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns a client that trusts the system's authorities and those in `ca`.
///
/// # Errors
///
/// The file cannot be read.
pub fn agent(ca: Option<&Path>, url: &url::Url) -> anyhow::Result<ureq::Agent> {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // A token must never be sent to the target of a redirect.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_MAX))
        .timeout_per_read(Some(SILENCE_MAX));
    if is_loopback(url) {
        config = config.proxy(None);
    }
    if url.scheme() == "https" {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots(ca)?))
            .unversioned_rustls_crypto_provider(provider);
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

/// Returns the system's root certificates and those of `--ca`.
fn roots(ca: Option<&Path>) -> anyhow::Result<Vec<Certificate<'static>>> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<_> = system
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect();
    if let Some(file) = ca {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let before = roots.len();
        for item in parse_pem(byte_order_mark::without_bytes(&pem)) {
            if let PemItem::Certificate(root) = item.with_context(|| file.display().to_string())? {
                roots.push(root);
            }
        }
        if roots.len() == before {
            anyhow::bail!("{} contains no certificate", file.display());
        }
    }
    Ok(roots)
}

/// Maximum number of bytes read of a response.
const BODY_BYTES_MAX: u64 = 64 * 1024;

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Silence after which a connection counts as lost. Hubs send comments more often.
const SILENCE_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
