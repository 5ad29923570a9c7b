//! `tidings token make` and `token inspect`.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};
use tidings_auth::issue::{Claims, Detail, SignKey, new_id};
use tidings_auth::key::{Algorithm, VerifyKey};
use tidings_core::HubUrl;
use tidings_core::matcher::{Matcher, MatcherType};

use super::dev_folder::{DEFAULT_DATA, DevFolder, ISSUER};
use super::{Usage, print};
use crate::text_file::{self, without_line_break};
use tidings_hub::clock::unix_secs;

mod inspect;

/// Make or inspect access tokens
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Make(Box<Make>),
    Inspect(inspect::Arguments),
}

/// Make an access token and print it
///
/// Without an issuer and a key, the token is for the hub that `tidings dev` runs in this folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Make {
    /// Issuer (iss), exactly as in the hub's configuration
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// Audience (aud), usually the hub's public URL
    #[arg(long = "audience", value_name = "URL")]
    audiences: Vec<String>,

    /// Shared secret, or private key in PEM
    #[arg(
        long,
        value_name = "TEXT",
        env = "TIDINGS_TOKEN_KEY",
        hide_env_values = true
    )]
    key: Option<String>,

    /// File with the shared secret or the private key; takes precedence over --key and its variable
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Signature algorithm
    #[arg(long, value_name = "NAME", default_value = "HS256", value_parser = algorithm())]
    algorithm: String,

    /// Name of the key (kid)
    #[arg(long, value_name = "TEXT")]
    kid: Option<String>,

    /// Topic that may be published; * is every topic
    #[arg(
        long = "publish",
        value_name = "TOPIC",
        help_heading = "What it allows"
    )]
    publish: Vec<String>,

    /// URL pattern of topics that may be published
    #[arg(
        long = "publish-urlpattern",
        value_name = "PATTERN",
        help_heading = "What it allows"
    )]
    publish_patterns: Vec<String>,

    /// Topic whose private updates may be read; * is every topic
    #[arg(
        long = "subscribe",
        value_name = "TOPIC",
        help_heading = "What it allows"
    )]
    subscribe: Vec<String>,

    /// URL pattern of topics whose private updates may be read
    #[arg(
        long = "subscribe-urlpattern",
        value_name = "PATTERN",
        help_heading = "What it allows"
    )]
    subscribe_patterns: Vec<String>,

    /// JSON object to show in the subscriptions of the token's bearer
    #[arg(long, value_name = "JSON", help_heading = "What it allows", value_parser = object)]
    payload: Option<Map<String, Value>>,

    /// Subject (sub) [default: a random UUID]
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,

    /// Application that the token is issued to (client_id) [default: the issuer]
    #[arg(long, value_name = "TEXT")]
    client_id: Option<String>,

    /// Lifetime: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    ttl: u64,

    /// Print the token and its claims as JSON
    #[arg(long)]
    json: bool,

    /// Data folder of `tidings dev`
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    dev_data: PathBuf,
}

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Make")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Make(arguments) => {
            let token = make(arguments)?;
            match arguments.json {
                true => print::json(&json_of(&token)?),
                false => print::output(&format!("{token}\n")),
            }
        }
        Command::Inspect(arguments) => inspect::run(arguments),
    }
}

/// Returns a token with its claims.
fn json_of(token: &str) -> anyhow::Result<Value> {
    let claims = tidings_auth::Parts::parse(token)?.claims;
    let claims = serde_json::to_value(tidings_auth::json::Json::Object(claims))?;
    Ok(serde_json::json!({"token": token, "claims": claims}))
}

fn make(arguments: &Make) -> anyhow::Result<String> {
    let details = details(arguments);
    if details.is_empty() {
        return Err(Usage("the token would allow nothing: add --publish or --subscribe").into());
    }
    let key = match &arguments.key_file {
        Some(file) => {
            let text =
                text_file::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(without_line_break(&text).to_owned())
        }
        None => arguments.key.clone(),
    };
    let (issuer, audiences, key) = match (arguments.issuer.clone(), key) {
        (Some(issuer), Some(key)) => (issuer, arguments.audiences.clone(), key),
        (None, None) => of_dev(arguments)?,
        (Some(_), None) => return Err(Usage("--issuer needs --key or --key-file").into()),
        (None, Some(_)) => return Err(Usage("a key needs --issuer").into()),
    };
    if audiences.is_empty() {
        return Err(Usage("--audience is missing: the public URL of the hub").into());
    }
    let algorithm = Algorithm::from_name(&arguments.algorithm).context("unknown algorithm")?;
    if algorithm.is_shared() {
        // A hub would refuse the secret, and therefore every token made with it.
        VerifyKey::parse(algorithm, &key)?;
    }
    check_matchers(&details, &audiences)?;
    let issued_at = unix_secs();
    let claims = Claims {
        subject: match &arguments.subject {
            Some(subject) => subject.clone(),
            None => new_id()?,
        },
        client_id: arguments
            .client_id
            .clone()
            .unwrap_or_else(|| issuer.clone()),
        issuer,
        audiences,
        issued_at,
        expires_at: issued_at.saturating_add(arguments.ttl),
        id: new_id()?,
        details,
    };
    Ok(SignKey::parse(algorithm, &key)?.sign(&claims, arguments.kid.as_deref())?)
}

/// Refuses entries that no hub would accept in a token.
fn check_matchers(details: &[Detail], audiences: &[String]) -> anyhow::Result<()> {
    let hub = audiences
        .iter()
        .find_map(|audience| HubUrl::parse(audience).ok());
    // Relative patterns need a base URL to be parsed; any base does.
    let hub = match hub {
        Some(hub) => hub,
        None => HubUrl::parse("https://hub.invalid/.well-known/mercure")?,
    };
    for (name, pattern) in details.iter().flat_map(|detail| &detail.matchers) {
        let kind = MatcherType::from_name(name).context("unknown matcher type")?;
        Matcher::parse(kind, pattern, &hub)
            .with_context(|| format!("{name} {pattern:?} cannot stand in a token"))?;
    }
    Ok(())
}

/// Returns issuer, audiences and key of the hub of `tidings dev`.
fn of_dev(arguments: &Make) -> anyhow::Result<(String, Vec<String>, String)> {
    let folder = DevFolder::new(&arguments.dev_data);
    if !folder.hub_path().exists() {
        return Err(Usage(
            "no key: give --issuer, --audience and --key or --key-file, or start a hub here with \
             `tidings dev`",
        )
        .into());
    }
    let hub = folder.hub()?;
    print::error(&format!("a token for the hub {}", hub.hub));
    let audiences = match arguments.audiences.as_slice() {
        [] => vec![hub.hub],
        audiences => audiences.to_vec(),
    };
    Ok((ISSUER.to_owned(), audiences, folder.key()?))
}

fn details(arguments: &Make) -> Vec<Detail> {
    let matchers = |topics: &[String], patterns: &[String]| -> Vec<(&'static str, String)> {
        let topics = topics.iter().map(|topic| ("exact", topic.clone()));
        let patterns = patterns
            .iter()
            .map(|pattern| ("urlpattern", pattern.clone()));
        topics.chain(patterns).collect()
    };
    let publish = matchers(&arguments.publish, &arguments.publish_patterns);
    let subscribe = matchers(&arguments.subscribe, &arguments.subscribe_patterns);
    let payload = arguments.payload.clone();
    [
        Detail {
            actions: vec!["publish"],
            matchers: publish,
            payload: None,
        },
        Detail {
            actions: vec!["subscribe"],
            matchers: subscribe,
            payload,
        },
    ]
    .into_iter()
    .filter(|detail| !detail.matchers.is_empty())
    .collect()
}

fn algorithm() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Algorithm::NAMES)
}

fn object(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_str(text)
}

/// Reads a number with `s`, `m`, `h` or `d`.
pub fn seconds(text: &str) -> Result<u64, TtlError> {
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split).ok_or(TtlError)?;
    let factor: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(TtlError),
    };
    let number: u64 = number.parse().ok().ok_or(TtlError)?;
    number
        .checked_mul(factor)
        .filter(|seconds| *seconds > 0)
        .ok_or(TtlError)
}

/// An invalid lifetime.
#[derive(Debug, thiserror::Error)]
#[error("write a number with s, m, h or d, such as 15m, 1h or 30d")]
pub struct TtlError;

const EXAMPLES: &str = "\
Examples:
  tidings token make --publish '*'              for the hub of `tidings dev`
  tidings token make --ttl 15m \\
      --subscribe-urlpattern 'https://example.com/users/42/*'
  tidings token make --issuer https://example.com --key-file hub.key \\
      --audience https://example.com/.well-known/mercure --publish '*'";

#[cfg(test)]
mod tests;
