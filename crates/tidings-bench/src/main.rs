//! `tidings-bench`: measures a hub. Here are the start of the program and its exit codes; the arguments are
//! in `commands`, and what is measured and how is in the crate `tidings-load`.

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
/// Run it on another core than the hub (`taskset -c 1 tidings-bench …`). With --pid, CPU time and
/// memory are read from the hub's process, and a bare send() loop on its core is measured as the
/// yardstick. It refuses to report when it was itself the limit.
#[derive(Debug, Parser)]
#[command(name = "tidings-bench", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: commands::Command,
}

/// Wrong arguments that clap cannot see, such as a hub that is missing.
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
        // Help and version come this way too, with code 0. A closed output changes nothing.
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
        // Whoever reads the output has seen enough, as in `tidings-bench … | head -1`.
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

/// Writes a line to the standard error without what is secret in it. There is nobody to tell if that
/// fails.
fn complain(line: &str) {
    let line = redact::text(line);
    let _written = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
