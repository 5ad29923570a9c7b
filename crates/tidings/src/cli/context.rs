//! `tidings context`: hubs and their tokens by name, so that commands need neither.
//!
//! They are in one file of the user, which nobody else can read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tidings_wire::redact;

use super::dev_folder::write_private;
use super::{Usage, print};
use crate::config::env;
use crate::text_file;

/// Name hubs, with their tokens, and choose one
///
/// Commands that talk to a hub use the chosen one unless --hub or --context names another.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    Add(Add),
    /// List the hubs; * marks the chosen one
    #[command(after_help = EXAMPLES)]
    List(List),
    /// Choose a hub; `dev` is the one that `tidings dev` runs in this folder
    #[command(after_help = EXAMPLES)]
    Use(Named),
    /// Remove a hub
    #[command(after_help = EXAMPLES)]
    Remove(Named),
}

/// Add a hub, or replace the one of that name
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Add {
    /// The name
    name: String,

    /// The hub's URL with its path
    #[arg(long, value_name = "URL")]
    hub: String,

    /// The access token; --token-file keeps it out of the shell's history
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,

    /// File with the access token, which is read each time
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// PEM file with certificates of authorities to trust in addition to the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Operators' address of the hub, for `tidings top` and the like
    #[arg(long, value_name = "URL")]
    admin: Option<String>,

    /// File with the token of operators, which is read each time
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,
}

impl std::fmt::Debug for Add {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Add")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How the list is printed.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Print it as JSON; the hub of `dev` is null, as it depends on the folder
    #[arg(long)]
    json: bool,
}

/// Which hub.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Its name
    name: String,
}

/// The file's contents.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The chosen one.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// One hub.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its URL.
    pub hub: String,
    /// The token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where the token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Further authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The admin address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// Where the token of operators is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let mut contexts = Contexts::read()?;
    match command {
        Command::Add(add) => contexts.add(add)?,
        Command::List(list) => return print_list(&contexts, list),
        Command::Use(Named { name }) if name == DEV => contexts.chosen = None,
        Command::Use(Named { name }) => {
            contexts.find(name)?;
            contexts.chosen = Some(name.clone());
        }
        Command::Remove(Named { name }) => {
            contexts.find(name)?;
            contexts.contexts.remove(name);
            contexts.chosen = contexts.chosen.take().filter(|chosen| chosen != name);
        }
    }
    contexts.write()
}

fn print_list(contexts: &Contexts, list: &List) -> anyhow::Result<()> {
    let chosen = contexts.chosen.as_deref().unwrap_or(DEV);
    let hubs = contexts.contexts.iter();
    let hubs = hubs.map(|(name, context)| (name.as_str(), Some(redact::url(&context.hub))));
    // The hub of `dev` depends on the folder that a command runs in.
    let all = std::iter::once((DEV, None)).chain(hubs);
    if list.json {
        let all = all.map(
            |(name, hub)| serde_json::json!({"name": name, "hub": hub, "chosen": name == chosen}),
        );
        return print::json(&all.collect());
    }
    let mut text = String::new();
    for (name, hub) in all {
        let mark = if name == chosen { '*' } else { ' ' };
        let hub = hub.unwrap_or_else(|| "the hub that `tidings dev` runs in this folder".into());
        text.push_str(&format!("{mark} {name:<16} {hub}\n"));
    }
    print::output(&text)
}

impl Contexts {
    /// Reads the file; empty if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or something else stands in it.
    pub fn read() -> anyhow::Result<Self> {
        let Some(path) = path() else {
            return Ok(Self::default());
        };
        if !path.exists() {
            return Ok(Self::default());
        }
        let shown = || path.display().to_string();
        let text = text_file::read(&path).with_context(shown)?;
        toml::from_str(&text).with_context(shown)
    }

    /// Finds the hub that a command is to use: of this name, or else the chosen one. `None` is that
    /// of `tidings dev`.
    ///
    /// # Errors
    ///
    /// If there is no hub of that name.
    pub fn select(self, name: Option<&str>) -> anyhow::Result<Option<(String, Context)>> {
        let name = match (name, &self.chosen) {
            (Some(DEV), _) | (None, None) => return Ok(None),
            (Some(name), _) => name.to_owned(),
            (None, Some(chosen)) => chosen.clone(),
        };
        let context = self.find(&name)?.clone();
        Ok(Some((name, context)))
    }

    fn find(&self, name: &str) -> anyhow::Result<&Context> {
        let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        let known = match names.as_slice() {
            [] => "there is none yet: tidings context add NAME --hub URL".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        self.contexts
            .get(name)
            .with_context(|| format!("there is no context {name:?}; {known}"))
    }

    fn add(&mut self, add: &Add) -> anyhow::Result<()> {
        if add.name == DEV {
            return Err(Usage("`dev` always names the hub of `tidings dev`").into());
        }
        url::Url::parse(&add.hub).with_context(|| format!("--hub {}", redact::url(&add.hub)))?;
        if let Some(admin) = &add.admin {
            url::Url::parse(admin).with_context(|| format!("--admin {}", redact::url(admin)))?;
        }
        // Other commands run in other folders.
        let absolute = |path: &PathBuf| std::path::absolute(path).context("no current folder");
        let context = Context {
            hub: add.hub.clone(),
            token: add.token.clone(),
            token_file: add.token_file.as_ref().map(absolute).transpose()?,
            ca: add.ca.as_ref().map(absolute).transpose()?,
            admin: add.admin.clone(),
            admin_token_file: add.admin_token_file.as_ref().map(absolute).transpose()?,
        };
        self.contexts.insert(add.name.clone(), context);
        if self.contexts.len() == 1 {
            self.chosen = Some(add.name.clone());
        }
        Ok(())
    }

    fn write(&self) -> anyhow::Result<()> {
        let path = path().context("neither XDG_CONFIG_HOME nor HOME is set")?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        write_private(&path, &toml::to_string(self)?)
    }
}

/// Returns where the file is; `None` for a user without a home. XDG Base Directory Specification.
fn path() -> Option<PathBuf> {
    let variables = env::variables();
    let value = |name: &str| {
        let variable = variables.iter().find(|variable| variable.name == name)?;
        variable.value.as_ref().filter(|value| !value.is_empty())
    };
    let home = || value("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = value("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
    Some(folder.join("tidings").join("contexts.toml"))
}

/// The name of the hub that `tidings dev` runs.
pub const DEV: &str = "dev";

const EXAMPLES: &str = "\
Examples:
  tidings context add prod --token-file prod.token \\
    --hub https://example.com/.well-known/mercure
  tidings context use prod
  tidings publish --context dev https://example.com/books/1 hello";
