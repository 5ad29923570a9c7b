//! `tidings top`: what a running hub does, live.

use std::io::IsTerminal;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{self, Client};
use super::{duration, list, number, plain, text};
use crate::cli::print;

/// Topics that are shown.
const TOPICS: usize = 15;
/// Puts the cursor into the corner and clears the terminal; ECMA-48.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// How long the topics are counted before they are shown once.
const COUNTED: Duration = Duration::from_secs(1);

/// Show live what a running hub does: rates, subscribers, topics
///
/// By its admin API, which needs the token of operators. Ends with Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,

    /// Show it once, after a second in which topics are counted
    #[arg(long)]
    once: bool,

    /// Print each look as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: client::Arguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let client = Client::find(&arguments.hub)?;
    if arguments.once {
        // The hub counts topics from the first question on.
        client.get("topics", &[])?;
        sleep(COUNTED);
    }
    loop {
        let look = look(&client)?;
        match arguments.json {
            true => print::json(&look)?,
            false => {
                let clears = !arguments.once && std::io::stdout().is_terminal();
                let clear = if clears { CLEAR } else { "" };
                print::output(&format!("{clear}{}", shown(&look)))?;
            }
        }
        if arguments.once {
            return Ok(());
        }
        print::check_open()?;
        sleep(Duration::from_secs(arguments.interval));
    }
}

/// Returns the state of the hub, its newest sample and its topics.
fn look(client: &Client) -> anyhow::Result<Value> {
    let state = client.get("state", &[])?;
    let rates = client.get("rates", &[])?;
    let topics = client.get("topics", &[("limit", TOPICS.to_string())])?;
    let newest = list(&rates, "samples").last();
    Ok(json!({"state": state, "now": newest, "topics": topics.get("topics")}))
}

fn shown(look: &Value) -> String {
    let part = |name: &str| look.get(name).unwrap_or(&Value::Null);
    let (state, now) = (part("state"), part("now"));
    let history = state.get("history").unwrap_or(&Value::Null);
    let standing = match (state.get("ready"), state.get("stopping")) {
        (_, Some(Value::Bool(true))) => "stopping".to_owned(),
        (Some(Value::Bool(true)), _) => "ready".to_owned(),
        _ => format!("not ready: {}", plain(text(state, "reason"))),
    };
    let by_transport = state
        .get("subscribers_by_transport")
        .and_then(Value::as_object);
    let by_transport: Vec<String> = by_transport
        .into_iter()
        .flatten()
        .map(|(transport, count)| format!("{count} {transport}"))
        .collect();
    let mut out = format!(
        "{}  version {}  up {}  {standing}\n\n\
         subscribers  {:>10}    {}\n\
         connections  {:>10}    of {}\n\
         published    {:>10}/s  {} in all\n\
         delivered    {:>10}/s  {} in all, {} bytes/s\n\
         refused      {:>10}/s  {} in all\n\
         fell behind  {:>10}/s  {} in all, {} told of a gap\n\
         history      {:>10}    updates, {} bytes\n\n",
        plain(text(state, "hub")),
        text(state, "version"),
        duration(number(state, "uptime_secs")),
        number(state, "subscribers"),
        by_transport.join(", "),
        number(state, "connections"),
        number(state, "connections_max"),
        number(now, "published"),
        total(state, "published"),
        number(now, "delivered"),
        total(state, "delivered"),
        number(now, "delivered_bytes"),
        number(now, "refused"),
        total(state, "refused"),
        number(now, "lags"),
        total(state, "lags"),
        total(state, "gaps"),
        number(history, "stored_updates"),
        number(history, "stored_bytes"),
    );
    out.push_str("PER SECOND  UPDATES  TOPIC\n");
    for topic in list(look, "topics") {
        let rate = topic.get("per_second").and_then(Value::as_f64);
        let (rate, updates) = (rate.unwrap_or_default(), number(topic, "updates"));
        out.push_str(&format!(
            "{rate:>10.1}  {updates:>7}  {}\n",
            plain(text(topic, "topic"))
        ));
    }
    out
}

fn total(state: &Value, name: &str) -> u64 {
    state.get("totals").map_or(0, |totals| number(totals, name))
}

const EXAMPLES: &str = "\
Examples:
  tidings top
  tidings top --once --json | jq .now
  tidings top --context prod --interval 5";
