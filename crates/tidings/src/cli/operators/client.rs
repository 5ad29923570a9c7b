//! The admin API that the commands of operators ask: its address, its token, and requests to it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tidings_wire::redact;

use crate::cli::Usage;
use crate::cli::context::Contexts;
use crate::cli::dev_folder::{DEFAULT_DATA, DevFolder};
use crate::cli::health::reachable;
use crate::cli::hub::{agent, refusal, token_in};
use crate::cli::print;
use crate::config::{env, read};
use crate::text_file;

/// Bytes that are read of an answer: a page of 500 connections with long topics.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long an answer may take. A purge of a long history takes a while.
const PATIENCE: Duration = Duration::from_secs(600);

/// Which hub, and the token of its operators.
#[derive(clap::Args)]
#[command(next_help_heading = "Hub")]
#[group(skip)]
pub struct Arguments {
    /// Operators' address of the hub, such as http://127.0.0.1:9090 [default: that of the context,
    /// else that of the configuration]
    #[arg(
        long,
        value_name = "URL",
        env = "TIDINGS_ADMIN",
        hide_env_values = true
    )]
    admin: Option<String>,

    /// Name of a hub that `tidings context add --admin` named
    #[arg(
        long,
        value_name = "NAME",
        env = "TIDINGS_CONTEXT",
        conflicts_with = "admin"
    )]
    context: Option<String>,

    /// The token of operators (`admin.token`)
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDINGS_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,

    /// File with the token of operators; takes precedence over --admin-token and its variable
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// Configuration of the hub, which has its address and token [default: tidings.toml in this
    /// folder or in /etc/tidings, if it exists]
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDINGS_CONFIG",
        conflicts_with_all = ["admin", "context"]
    )]
    config: Option<PathBuf>,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments")
            .field("admin", &self.admin.as_deref().map(redact::url))
            .finish_non_exhaustive()
    }
}

/// A hub to ask.
pub struct Client {
    agent: ureq::Agent,
    url: url::Url,
    token: String,
}

/// An address, with the authorities and the token that belong to it.
struct Place {
    url: String,
    ca: Option<PathBuf>,
    token: Option<String>,
}

impl Client {
    /// Finds the hub and its token.
    ///
    /// # Errors
    ///
    /// No hub is named, or a file cannot be read.
    pub fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        let given = match &arguments.admin_token_file {
            Some(file) => Some(token_in(file)?),
            None => arguments.admin_token.clone(),
        };
        let Place { url, ca, token } = match &arguments.admin {
            Some(url) => Place {
                url: url.clone(),
                ca: None,
                token: None,
            },
            None => match of_context(arguments)? {
                Some(place) => place,
                None => of_config(arguments)?,
            },
        };
        let url =
            url::Url::parse(&url).with_context(|| format!("--admin {}", redact::url(&url)))?;
        let token = given.or(token).ok_or(Usage(
            "no token of operators: name its file with --admin-token-file",
        ))?;
        let agent = agent(ca.as_deref(), &url)?;
        Ok(Self { agent, url, token })
    }

    /// Reads something.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or the refusal.
    pub fn get(&self, name: &str, parameters: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut url = self.at(name)?;
        let given = parameters.iter().filter(|(_, value)| !value.is_empty());
        for (name, value) in given {
            url.query_pairs_mut().append_pair(name, value);
        }
        let request = self.agent.get(url.as_str());
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        self.answer(
            request
                .config()
                .timeout_global(Some(PATIENCE))
                .build()
                .call(),
        )
    }

    /// Has something done.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or the refusal.
    pub fn post(&self, name: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(self.at(name)?.as_str());
        let request = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json");
        let request = request.config().timeout_global(Some(PATIENCE)).build();
        self.answer(request.send(body.to_string()))
    }

    fn at(&self, name: &str) -> anyhow::Result<url::Url> {
        Ok(self.url.join(&format!("/admin/v1/{name}"))?)
    }

    fn answer(
        &self,
        answer: Result<http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<Value> {
        let shown = redact::url(self.url.as_str());
        let answer = answer.with_context(|| shown.clone())?;
        let status = answer.status();
        let mut body = Vec::new();
        let mut reader = answer.into_body().into_reader().take(BODY_BYTES_MAX);
        reader
            .read_to_end(&mut body)
            .with_context(|| shown.clone())?;
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| shown);
        }
        Err(refusal(status, &String::from_utf8_lossy(&body)).into())
    }
}

/// Returns what a context says: address, authorities, token.
fn of_context(arguments: &Arguments) -> anyhow::Result<Option<Place>> {
    if arguments.config.is_some() {
        return Ok(None);
    }
    let named = arguments.context.as_deref();
    let Some((name, context)) = Contexts::read()?.select(named)? else {
        return Ok(None);
    };
    let Some(url) = context.admin else {
        return match named {
            Some(_) => Err(anyhow::anyhow!(
                "the context {name} has no address of operators: tidings context add {name} --admin URL …"
            )),
            None => Ok(None),
        };
    };
    let token = context
        .admin_token_file
        .as_deref()
        .map(token_in)
        .transpose()?;
    let ca = context.ca;
    Ok(Some(Place { url, ca, token }))
}

/// Returns what a configuration says.
fn of_config(arguments: &Arguments) -> anyhow::Result<Place> {
    let reading = read(arguments.config.as_deref(), &env::variables());
    let value = |key: &str| {
        let entry = reading.settings.find(key)?;
        entry.value.as_str().map(str::to_owned)
    };
    let Some(address) = value("admin.address") else {
        if arguments.config.is_none()
            && let Some(place) = of_dev()?
        {
            return Ok(place);
        }
        return Err(Usage(
            "no hub: name its admin address with --admin URL, or its configuration with --config FILE, or start one \
             in this folder with `tidings dev`",
        )
        .into());
    };
    let address = address.parse().context("admin.address")?;
    let token = match (value("admin.token"), value("admin.token_file")) {
        (Some(token), _) => Some(token),
        (None, Some(file)) => {
            let text = text_file::read(&file).with_context(|| file.clone())?;
            Some(text_file::without_line_break(&text).to_owned())
        }
        (None, None) => None,
    };
    let url = format!("http://{}", reachable(address));
    let ca = None;
    Ok(Place { url, ca, token })
}

/// Returns the hub that `tidings dev` started last in this folder.
fn of_dev() -> anyhow::Result<Option<Place>> {
    let folder = DevFolder::new(Path::new(DEFAULT_DATA));
    if !folder.hub_path().exists() {
        return Ok(None);
    }
    let url = folder.hub()?.hub;
    let from = folder.hub_path();
    print::error(&format!(
        "using the hub {} (from {})",
        redact::url(&url),
        from.display()
    ));
    let token = Some(folder.admin_token()?);
    Ok(Some(Place {
        url,
        ca: None,
        token,
    }))
}
