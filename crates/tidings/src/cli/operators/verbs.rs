//! `tidings disconnect`, `revoke`, `purge`, `explain` and `drain`: what operators do to a running hub.

use anyhow::bail;
use serde_json::{Value, json};

use super::client::{self, Client};
use super::{list, number, plain, text};
use crate::cli::{Usage, print};
use crate::text_file;

/// End a connection, or all connections of a subject
///
/// Their clients may come back; `tidings revoke` keeps them out.
#[derive(Debug, clap::Args)]
#[command(after_help = DISCONNECT)]
pub struct Disconnect {
    /// The id of a connection, as `tidings connections` lists it
    #[arg(value_name = "ID", required_unless_present = "subject")]
    connection: Option<String>,

    /// Every connection whose token has this subject (`sub`)
    #[arg(long, conflicts_with = "connection")]
    subject: Option<String>,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// Refuse a token until it expires, and end the connections that it opened
#[derive(clap::Args)]
#[command(after_help = REVOKE)]
pub struct Revoke {
    /// The token's id (`jti`)
    #[arg(value_name = "JTI", required_unless_present_any = ["token_file", "list"])]
    id: Option<String>,

    /// File with the token itself, instead of its id
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    token_file: Option<std::path::PathBuf>,

    /// Until when, in Unix seconds [default: when the token expires, if the hub knows that, else for
    /// good]
    #[arg(long, value_name = "SECONDS")]
    until: Option<u64>,

    /// Accept the token again
    #[arg(long, requires = "id", conflicts_with_all = ["until", "token_file"])]
    undo: bool,

    /// List the tokens that are revoked
    #[arg(long, conflicts_with_all = ["id", "token_file", "until", "undo"])]
    list: bool,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

impl std::fmt::Debug for Revoke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revoke")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Remove all updates of a topic from the history of a running hub
///
/// It cannot be undone. Subscribers and backups keep what they have.
#[derive(Debug, clap::Args)]
#[command(after_help = PURGE)]
pub struct Purge {
    /// The topic
    topic: String,

    /// Really do it
    #[arg(long)]
    yes: bool,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// Explain who would receive an update, and why others would not
///
/// Nothing is published. The checks are those that publishers and subscribers pass.
#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN)]
pub struct Explain {
    /// The topics of the update, the canonical one first
    #[arg(required = true)]
    topics: Vec<String>,

    /// The update is private
    #[arg(long)]
    private: bool,

    /// Only connections whose tokens have this subject (`sub`)
    #[arg(long)]
    subject: Option<String>,

    /// File with a token: may its holder publish the update, and read it?
    #[arg(long, value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// End a running hub, as SIGTERM does: its streams end one by one, then the process exits
#[derive(Debug, clap::Args)]
#[command(after_help = DRAIN)]
pub struct Drain {
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// Runs `tidings disconnect`.
pub fn disconnect(arguments: &Disconnect) -> anyhow::Result<()> {
    let body = match (&arguments.connection, &arguments.subject) {
        (Some(connection), _) => json!({"connection": connection}),
        (None, subject) => json!({"subject": subject}),
    };
    let done = Client::find(&arguments.hub)?.post("disconnect", &body)?;
    let ended = number(&done, "disconnected");
    told(
        arguments.json,
        &done,
        &format!("{ended} connections ended{}\n", where_done(&done)),
    )
}

/// Runs `tidings revoke`.
pub fn revoke(arguments: &Revoke) -> anyhow::Result<()> {
    let client = Client::find(&arguments.hub)?;
    if arguments.list {
        let revoked = client.get("revocations", &[])?;
        let lines = list(&revoked, "revocations").iter().map(|one| {
            let until = one.get("until").and_then(Value::as_u64);
            format!("{}  {}\n", ending(until), plain(text(one, "id")))
        });
        return told(arguments.json, &revoked, &lines.collect::<String>());
    }
    if arguments.undo {
        let done = client.post("reinstate", &json!({"id": arguments.id}))?;
        let text = match done.get("reinstated") == Some(&Value::Bool(true)) {
            true => "the token is accepted again",
            false => "the token was not revoked",
        };
        let text = format!("{text}{}\n", where_done(&done));
        return told(arguments.json, &done, &text);
    }
    let mut body = match &arguments.token_file {
        Some(file) => json!({"token": text_file::read(file)?.trim()}),
        None => json!({"id": arguments.id}),
    };
    if let (Some(until), Some(body)) = (arguments.until, body.as_object_mut()) {
        body.insert("until".to_owned(), until.into());
    }
    let done = client.post("revoke", &body)?;
    let until = ending(done.get("until").and_then(Value::as_u64));
    let ended = number(&done, "disconnected");
    told(
        arguments.json,
        &done,
        &format!(
            "refused {until}; {ended} connections ended{}\n",
            where_done(&done)
        ),
    )
}

/// Returns what follows the figures of one hub of a cluster.
fn where_done(done: &Value) -> &'static str {
    match text(done, "scope") {
        "cluster" => " on this hub; the other hubs were told",
        _ => "",
    }
}

fn ending(until: Option<u64>) -> String {
    match until {
        Some(until) => format!("until {}", print::time_of_ms(until.saturating_mul(1000))),
        None => "for good".to_owned(),
    }
}

/// Runs `tidings purge`.
pub fn purge(arguments: &Purge) -> anyhow::Result<()> {
    if !arguments.yes {
        return Err(Usage("a purge cannot be undone: add --yes to do it").into());
    }
    let client = Client::find(&arguments.hub)?;
    let done = client.post("purge", &json!({"topic": arguments.topic}))?;
    let purged = number(&done, "purged");
    told(
        arguments.json,
        &done,
        &format!("{purged} updates withdrawn{}\n", where_done(&done)),
    )
}

/// Runs `tidings explain`.
pub fn explain(arguments: &Explain) -> anyhow::Result<()> {
    let mut body = json!({"topics": arguments.topics, "private": arguments.private});
    if let Some(body) = body.as_object_mut() {
        if let Some(subject) = &arguments.subject {
            body.insert("subject".to_owned(), subject.as_str().into());
        }
        if let Some(file) = &arguments.token_file {
            body.insert("token".to_owned(), text_file::read(file)?.trim().into());
        }
    }
    let answer = Client::find(&arguments.hub)?.post("explain", &body)?;
    told(arguments.json, &answer, &explained(&answer))
}

fn explained(answer: &Value) -> String {
    let mut out = String::new();
    for (verb, role) in [("read", "subscribe"), ("publish", "publish")] {
        let Some(role) = answer.get("token").and_then(|token| token.get(role)) else {
            continue;
        };
        let may = match role.get("allowed") == Some(&Value::Bool(true)) {
            true => "may",
            false => "may not",
        };
        out.push_str(&format!(
            "the token {may} {verb} it: {}\n",
            plain(text(role, "why"))
        ));
    }
    out.push_str(&format!(
        "{} connections would receive it, {} do not ask for it, {} may not read it\n",
        number(answer, "receive"),
        number(answer, "not_selected"),
        number(answer, "not_granted"),
    ));
    for one in list(answer, "connections") {
        let subject = one.get("token").map_or("-", |token| text(token, "subject"));
        out.push_str(&format!(
            "  {:<12} {:<20} {:<12} {}\n",
            text(one, "id"),
            plain(subject),
            text(one, "verdict"),
            text(one, "why"),
        ));
    }
    out
}

/// Runs `tidings drain`.
pub fn drain(arguments: &Drain) -> anyhow::Result<()> {
    let done = Client::find(&arguments.hub)?.post("drain", &json!({}))?;
    if done.get("draining") != Some(&Value::Bool(true)) {
        bail!("the hub did not say that it drains");
    }
    let within = done.get("within_secs").and_then(Value::as_f64);
    let within = within.unwrap_or_default();
    told(
        arguments.json,
        &done,
        &format!("the hub is stopping: its streams end within {within} s\n"),
    )
}

fn told(as_json: bool, answer: &Value, text: &str) -> anyhow::Result<()> {
    match as_json {
        true => print::json(answer),
        false => print::output(text),
    }
}

const DISCONNECT: &str = "\
Examples:
  tidings disconnect 0-12-345
  tidings disconnect --subject alice";

const REVOKE: &str = "\
Examples:
  tidings revoke urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00
  tidings revoke --token-file stolen.token
  tidings revoke --list
  tidings revoke --undo urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00";

const PURGE: &str = "\
Examples:
  tidings purge --yes https://example.com/books/1";

const EXPLAIN: &str = "\
Examples:
  tidings explain --private https://example.com/books/1
  tidings explain --subject alice --token-file alice.token urn:example:book";

const DRAIN: &str = "\
Examples:
  tidings drain --config /etc/tidings/tidings.toml";
