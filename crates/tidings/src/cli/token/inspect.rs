//! `tidings token inspect`: what a token contains, and whether the given hub settings accept it.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tidings_auth::json::Json;
use tidings_auth::key_fetch::Fetcher;
use tidings_auth::{Authority, Counters, Identity, Parts, Role};
use tidings_core::{Dialect, HubUrl, Matcher};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Builder;

use crate::cli::dev_folder::{DEFAULT_DATA, DevFolder};
use crate::cli::print;
use crate::config::{USUAL_FILES, env, read};
use tidings_hub::clock::unix_secs;

/// Show what a token allows, and why a hub would refuse it
///
/// Prints header and claims, then whether the hub settings accept the token for publishing and for
/// subscribing, what it allows, and when it expires. Exit code 1 if it is accepted for neither.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The token; - reads it from standard input
    token: String,

    /// Configuration of the hub [default: tidings.toml in this folder or in /etc/tidings, else
    /// `tidings dev`]
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDINGS_CONFIG",
        conflicts_with = "dev"
    )]
    config: Option<PathBuf>,

    /// Use the settings of the hub that `tidings dev` runs in this folder, even if there is a
    /// configuration
    #[arg(long)]
    dev: bool,

    /// Print header, claims and verdicts as JSON
    #[arg(long)]
    json: bool,

    /// Data folder of `tidings dev`
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    dev_data: PathBuf,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let token = match arguments.token.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            text
        }
        token => token.to_owned(),
    };
    let token = token.trim();
    let parts = Parts::parse(token)?;
    let (header, claims) = (Json::Object(parts.header), Json::Object(parts.claims));
    if !arguments.json {
        let header = serde_json::to_string_pretty(&header)?;
        let claims = serde_json::to_string_pretty(&claims)?;
        print::output(&format!("header {header}\nclaims {claims}\n\n"))?;
    }
    let (name, authority) = authority(arguments)?;
    read_key_sets(&authority)?;
    let now = unix_secs();
    let verdicts = [Role::Publish, Role::Subscribe].map(|role| {
        let verdict = authority.verify(token, role, now);
        (role, verdict.map_err(|error| error.to_string()))
    });
    if arguments.json {
        let verdicts = verdicts.iter().map(|(role, verdict)| {
            let refused = verdict.as_ref().err();
            let verdict = serde_json::json!({"accepted": refused.is_none(), "why": refused});
            (role.to_string(), verdict)
        });
        print::json(&serde_json::json!({
            "header": serde_json::to_value(&header)?,
            "claims": serde_json::to_value(&claims)?,
            "settings": name,
            "verdicts": verdicts.collect::<serde_json::Value>(),
        }))?;
    } else {
        let mut text = format!("by the settings of {name}:\n");
        for (role, verdict) in &verdicts {
            text.push_str(&match verdict {
                Ok(identity) => accepted_text(*role, identity)?,
                Err(error) => format!("  refused to {role}: {error}\n"),
            });
        }
        print::output(&text)?;
    }
    if verdicts.iter().any(|(_, verdict)| verdict.is_ok()) {
        Ok(())
    } else {
        anyhow::bail!("the hub would refuse the token")
    }
}

fn accepted_text(role: Role, identity: &Identity) -> anyhow::Result<String> {
    let (allowed, nothing) = match role {
        Role::Publish => (identity.grants.publish(), "nothing"),
        Role::Subscribe => (identity.grants.subscribe(), "no private updates"),
    };
    let ends = i64::try_from(identity.expires_at)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let ends = match ends {
        Some(time) => time.format(&Rfc3339)?,
        None => "in the far future".to_owned(),
    };
    let mut text = format!(
        "  accepted to {role}, until {ends}, as {}\n",
        named(identity)
    );
    if allowed.is_empty() {
        text.push_str(&format!("    {nothing}\n"));
    }
    for matcher in allowed {
        text.push_str(&format!("    {}\n", shown(matcher)));
    }
    Ok(text)
}

fn named(identity: &Identity) -> String {
    match &identity.subject {
        Some(subject) => format!("{subject} of {}", identity.issuer),
        None => format!("an unnamed subject of {}", identity.issuer),
    }
}

fn shown(matcher: &Matcher) -> String {
    match matcher.is_wildcard() {
        true => "every topic".to_owned(),
        false => format!("{} {}", matcher.kind().name(), matcher.pattern()),
    }
}

/// Returns the settings to check against, with their name.
fn authority(arguments: &Arguments) -> anyhow::Result<(String, Authority)> {
    let folder = DevFolder::new(&arguments.dev_data);
    let usual = || {
        USUAL_FILES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    };
    let config = arguments.config.clone().or_else(usual);
    match config {
        Some(path) if !arguments.dev => of_config(&path),
        Some(_) | None => of_dev(&folder),
    }
}

/// Reads the key sets once, as the hub would. A failure is printed, and the verdict follows from
/// it.
fn read_key_sets(authority: &Authority) -> anyhow::Result<()> {
    let sets = authority.key_sets();
    if sets.is_empty() {
        return Ok(());
    }
    let (fetcher, counters) = (Fetcher::new()?, Counters::default());
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for set in sets {
        if let Err(error) = runtime.block_on(set.read(&fetcher, &counters)) {
            print::error(&format!("{}: {error}", set.source()));
        }
    }
    Ok(())
}

fn of_config(path: &Path) -> anyhow::Result<(String, Authority)> {
    let config = read(Some(path), &env::variables()).into_config()?;
    Ok((
        path.display().to_string(),
        Authority::new(config.auth, config.hub)?,
    ))
}

fn of_dev(folder: &DevFolder) -> anyhow::Result<(String, Authority)> {
    let path = folder.hub_path();
    let hub = folder
        .hub()
        .context("no hub settings: give --config FILE")?;
    let url = HubUrl::parse(&hub.hub)?;
    let options = tidings_auth::Options {
        issuers: vec![folder.issuer()?],
        audiences: vec![hub.hub],
        cookie_names: Vec::new(),
        old_dialects: vec![Dialect::V0, Dialect::V2019],
    };
    Ok((path.display().to_string(), Authority::new(options, url)?))
}

const EXAMPLES: &str = "\
Examples:
  tidings token inspect \"$TOKEN\" --config /etc/tidings/tidings.toml
  tidings token make --publish '*' | tidings token inspect - --dev";
