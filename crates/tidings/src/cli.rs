//! The command line: `tidings dev`, `init`, `serve`, `health`, `doctor`, `broker`, `publish`, `subscribe`,
//! `token …`, `context …`, `config …`, `cluster …`,
//! `history …`, `completions`, `man`; for operators `top`, `connections`, `disconnect`, `revoke`,
//! `purge`, `explain`, `drain`.
//!
//! This file has the list of commands and the exit codes; each command has its own file. `dev` and
//! `serve` only build a checked `Config` and pass it to the server. Errors end on the terminal, so
//! they are `anyhow`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use print::OutputClosed;

use crate::telemetry::output;

mod bench;
mod broker;
mod browser;
mod cluster;
mod completions;
mod config;
mod context;
pub mod dev;
mod dev_folder;
mod doctor;
mod health;
mod history;
mod hub;
mod init;
mod log;
mod operators;
pub mod print;
mod publish;
mod reload;
mod serve;
pub mod services;
mod shown_update;
mod subscribe;
mod token;
mod version;

/// Real-time push for web applications: publish with one HTTP POST, receive over Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "tidings", version = version::TEXT, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Arguments),
    Init(init::Arguments),
    Serve(serve::Arguments),
    Reload(reload::Arguments),
    Broker(broker::Arguments),
    Health(health::Arguments),
    Doctor(doctor::Arguments),
    Publish(publish::Arguments),
    Subscribe(subscribe::Arguments),
    #[command(subcommand)]
    Token(token::Command),
    #[command(subcommand)]
    Context(context::Command),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Cluster(cluster::Command),
    #[command(subcommand)]
    History(history::Command),
    Top(operators::top::Arguments),
    Connections(operators::connections::Arguments),
    Disconnect(operators::verbs::Disconnect),
    Revoke(operators::verbs::Revoke),
    Purge(operators::verbs::Purge),
    Explain(operators::verbs::Explain),
    Drain(operators::verbs::Drain),
    Bench(bench::Arguments),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// Runs the command from the command line and returns its exit code: 0 on success, 1 on failure, 2
/// if the arguments or the configuration are wrong.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version end up here too, with code 0. A closed output changes nothing.
        Err(answer) if answer.use_stderr() => {
            // An unexpected argument may be the token of `token inspect`.
            print::error(answer.render().to_string().trim_end());
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(WRONG_ARGUMENTS));
        }
        Err(answer) => {
            let _printed = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    let result = match arguments.command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Broker(arguments) => broker::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Subscribe(arguments) => subscribe::run(&arguments),
        Command::Token(command) => token::run(&command),
        Command::Context(command) => context::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Cluster(command) => cluster::run(&command),
        Command::History(command) => history::run(&command),
        Command::Top(arguments) => operators::top::run(&arguments),
        Command::Connections(arguments) => operators::connections::run(&arguments),
        Command::Disconnect(arguments) => operators::verbs::disconnect(&arguments),
        Command::Revoke(arguments) => operators::verbs::revoke(&arguments),
        Command::Purge(arguments) => operators::verbs::purge(&arguments),
        Command::Explain(arguments) => operators::verbs::explain(&arguments),
        Command::Drain(arguments) => operators::verbs::drain(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions(arguments) => {
            completions::completions(&arguments, Arguments::command())
        }
        Command::Man(arguments) => completions::man(&arguments, Arguments::command()),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has seen enough, as in `tidings subscribe … | head -1`.
        Err(error) if error.is::<OutputClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            print::error(&format!("tidings: {}", with_causes(&error)));
            ExitCode::from(exit_code(&error))
        }
    };
    output::flush();
    code
}

/// Wrong arguments that clap cannot detect, such as a missing token.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub &'static str);

/// Joins the messages of an error and its causes, skipping those that the text already contains.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let wrong = error.is::<Usage>()
        || error.is::<broker::WrongSource>()
        || error.is::<crate::config::error::ConfigErrors>();
    if wrong { WRONG_ARGUMENTS } else { FAILED }
}

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  tidings dev                                       start a hub to try things on
  tidings subscribe https://example.com/1           watch a topic of it
  tidings publish https://example.com/1 hello       publish an update to it
  tidings serve --config /etc/tidings/tidings.toml  run a hub for others

`tidings COMMAND --help` tells more about a command.";

#[cfg(test)]
mod tests;
