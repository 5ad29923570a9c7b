//! `tidings publish`: publishes one update and prints its id.

use std::io::Read;

use anyhow::Context;
use tidings_auth::Role;

use super::hub::{self, Hub};
use super::{Usage, print};

/// Publish one update and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "about", required = true, args = ["topic", "topics"])]
pub struct Arguments {
    /// Topic of the update
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,

    /// Data for subscribers [default: empty]; - reads it from standard input, without the line
    /// break at its end
    #[arg(value_name = "DATA", conflicts_with = "data", requires = "topic")]
    text: Option<String>,

    /// Topic of the update; may be repeated, the first one is canonical
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,

    /// The same as DATA
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    data: Option<String>,

    /// Send it only to subscribers whose token allows it
    #[arg(long)]
    private: bool,

    /// Id of the update [default: the hub makes one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// Event type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Milliseconds that subscribers are told to wait before they reconnect
    #[arg(long, value_name = "MS")]
    retry: Option<u64>,

    /// Print id and topics as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: hub::Arguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::find(&arguments.hub, Role::Publish)?;
    if !hub.has_token() {
        return Err(Usage("no token: give one with --token, --token-file or TIDINGS_TOKEN").into());
    }
    let id = hub.post(&form(arguments)?)?;
    let id = id.trim_end();
    if arguments.json {
        let topics: Vec<&String> = arguments.topic.iter().chain(&arguments.topics).collect();
        return print::json(&serde_json::json!({"id": id, "topics": topics}));
    }
    print::output(&format!("{id}\n"))
}

fn form(arguments: &Arguments) -> anyhow::Result<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for topic in arguments.topic.iter().chain(&arguments.topics) {
        form.append_pair("topic", topic);
    }
    match arguments.text.as_deref().or(arguments.data.as_deref()) {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input as UTF-8")?;
            // `echo` ends with a line break that nobody means to send.
            let text = text.strip_suffix('\n').map_or(text.as_str(), |rest| {
                rest.strip_suffix('\r').unwrap_or(rest)
            });
            form.append_pair("data", text);
        }
        Some(text) => {
            form.append_pair("data", text);
        }
        None => {}
    }
    if arguments.private {
        form.append_pair("private", "on");
    }
    if let Some(id) = &arguments.id {
        form.append_pair("id", id);
    }
    if let Some(event_type) = &arguments.event_type {
        form.append_pair("type", event_type);
    }
    if let Some(retry) = arguments.retry {
        form.append_pair("retry", &retry.to_string());
    }
    Ok(form.finish())
}

const EXAMPLES: &str = "\
Examples:
  tidings publish https://example.com/books/1 '{\"available\":true}'
  echo hello | tidings publish https://example.com/greetings - --private
  tidings publish --data sold \\
    --topic https://example.com/books/1 --topic https://example.com/sales
  tidings publish https://example.com/books/1 sold \\
    --hub https://example.com/.well-known/mercure --token-file token

Exit codes: 0 published, 1 refused or failed, 2 wrong arguments.";
