//! `tidings publish`: publishes one update and prints its id.

use std::io::Read;

use anyhow::Context;
use tidings_auth::Role;

use super::hub::{self, Hub};
use super::{Usage, print};

/// Publish one update and print its id
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Topic of the update; may be repeated, the first one is canonical
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    topics: Vec<String>,

    /// Data for subscribers [default: empty]; - reads it from standard input
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
    print::output(&format!("{}\n", id.trim_end()))
}

fn form(arguments: &Arguments) -> anyhow::Result<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for topic in &arguments.topics {
        form.append_pair("topic", topic);
    }
    match arguments.data.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input as UTF-8")?;
            form.append_pair("data", &text);
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
  tidings publish --topic https://example.com/books/1 --data '{\"available\":true}'
  echo hello | tidings publish --topic https://example.com/greetings --data - --private
  tidings publish --hub https://example.com/.well-known/mercure --token-file token \\
      --topic https://example.com/books/1 --data sold

Exit codes: 0 published, 1 refused or failed, 2 wrong arguments.";
