//! `tidings-bench`: measures a hub. This file starts the program and sets its exit code. The arguments
//! are in `commands`, the measurements in the crate `tidings-load`.

#![expect(unreachable_pub, reason = "`pub` says here: used by another module")]

mod commands;
mod dev_hub;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser;
use tidings_wire::redact;

/// The hub's own allocator, so that figures can be compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure a hub: speed, delay, CPU time and memory
///
/// Run it on another core than the hub (`taskset -c 1 tidings-bench …`). With --pid, it reads CPU time
/// and memory from the hub's process, and measures a bare send() loop on the hub's core as the
/// baseline. It refuses to report if it was the limit itself.
#[derive(Debug, Parser)]
#[command(name = "tidings-bench", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

/// Wrong arguments that clap cannot detect, such as a missing hub.
#[derive(Debug)]
struct Usage(&'static str);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns 0 after a report without flaws, 1 after a failure, 2 if the arguments are wrong.
fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are errors of clap, too, with code 0. A closed output changes nothing.
        Err(answer) if answer.use_stderr() => {
            complain(answer.render().to_string().trim_end());
            return ExitCode::from(WRONG_ARGUMENTS);
        }
        Err(answer) => {
            let _printed = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    match commands::run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it, as in `tidings-bench … | head -1`.
        Err(error) if is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("tidings-bench: {error:#}"));
            ExitCode::from(if error.is::<Usage>() {
                WRONG_ARGUMENTS
            } else {
                FAILED
            })
        }
    }
}

fn is_closed_output(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Writes a line to standard error, without the secrets in it. A failure cannot be reported.
fn complain(line: &str) {
    let line = redact::text(line);
    let _written = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
