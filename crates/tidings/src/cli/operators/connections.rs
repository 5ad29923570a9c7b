//! `tidings connections`: the subscribers that are connected.

use serde_json::Value;

use super::client::{self, Client};
use super::{duration, list, number, plain, text};
use crate::cli::print;

/// Connections that are asked for at once.
const PAGE: usize = 200;

/// List the subscribers that are connected to a running hub
///
/// By its admin API, which needs the token of operators.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only those whose token has this subject (`sub`)
    #[arg(long)]
    subject: Option<String>,

    /// Only those whose token has this id (`jti`)
    #[arg(long, value_name = "JTI")]
    token_id: Option<String>,

    /// Only those with a matcher that selects this topic
    #[arg(long)]
    topic: Option<String>,

    /// Only those of this transport: sse, websocket, sockjs or long_poll
    #[arg(long)]
    transport: Option<String>,

    /// Only those of this dialect: 1.0, 0.x or 2019
    #[arg(long)]
    dialect: Option<String>,

    /// Only those of this IP address
    #[arg(long, value_name = "IP")]
    address: Option<String>,

    /// Only those that are at least so many updates behind
    #[arg(long, value_name = "UPDATES")]
    behind: Option<u64>,

    /// How many to list at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,

    /// Print each connection as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let client = Client::find(&arguments.hub)?;
    let given = |value: &Option<String>| value.clone().unwrap_or_default();
    let behind = arguments.behind.map(|behind| behind.to_string());
    let mut parameters = vec![
        ("subject", given(&arguments.subject)),
        ("token_id", given(&arguments.token_id)),
        ("topic", given(&arguments.topic)),
        ("transport", given(&arguments.transport)),
        ("dialect", given(&arguments.dialect)),
        ("address", given(&arguments.address)),
        ("behind", behind.unwrap_or_default()),
    ];
    let filters = parameters.len();
    let mut left = arguments.limit;
    let mut after = String::new();
    if !arguments.json && left > 0 {
        print::output(&line([
            "ID",
            "SUBJECT",
            "TRANSPORT",
            "ADDRESS",
            "CONNECTED",
            "BEHIND",
            "TOPICS",
        ]))?;
    }
    while left > 0 {
        parameters.truncate(filters);
        parameters.extend([("after", after), ("limit", left.min(PAGE).to_string())]);
        let page = client.get("connections", &parameters)?;
        for connection in list(&page, "connections") {
            match arguments.json {
                true => print::json(connection)?,
                false => print::output(&shown(connection))?,
            }
            left = left.saturating_sub(1);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    Ok(())
}

fn shown(connection: &Value) -> String {
    let token = connection.get("token").unwrap_or(&Value::Null);
    let subject = match token.is_null() {
        true => "anonymous",
        false => text(token, "subject"),
    };
    let behind = match number(connection, "behind") {
        0 => text(connection, "phase").to_owned(),
        behind => behind.to_string(),
    };
    let matchers = list(connection, "matchers");
    let mut topics: Vec<String> = matchers
        .iter()
        .take(2)
        .map(|matcher| plain(text(matcher, "pattern")))
        .collect();
    let more = number(connection, "matchers_count").saturating_sub(topics.len() as u64);
    if more > 0 {
        topics.push(format!("+{more}"));
    }
    line([
        text(connection, "id"),
        &plain(subject),
        text(connection, "transport"),
        text(connection, "address"),
        &duration(number(connection, "connected_secs")),
        &behind,
        &topics.join(" "),
    ])
}

fn line([id, subject, transport, address, connected, behind, topics]: [&str; 7]) -> String {
    format!(
        "{id:<12} {subject:<20} {transport:<10} {address:<16} {connected:<14} {behind:<8} {topics}\n"
    )
}

const EXAMPLES: &str = "\
Examples:
  tidings connections
  tidings connections --subject alice --json | jq .token.token_id
  tidings connections --topic https://example.com/books/1 --behind 100";
