//! `tidings bench …`: starts the load generator, a separate program called `tidings-bench`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

/// The load generator's name, in this program's folder or in the path.
const PROGRAM: &str = "tidings-bench";

/// Measure a hub's throughput, latency, CPU time and memory, with the program tidings-bench
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Arguments for tidings-bench
    #[arg(
        value_name = "ARGUMENTS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

/// Becomes `tidings-bench`. Returns only if it cannot be started.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // This program's folder comes first: that one has the same version.
    let beside = std::env::current_exe().ok();
    let beside = beside.map(|program| program.with_file_name(PROGRAM));
    let program = beside.filter(|program| program.is_file());
    let program = program.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let error = Command::new(&program).args(&arguments.arguments).exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        bail!(
            "{PROGRAM} is neither beside tidings nor in the path; build it with \
             `cargo build --release --package {PROGRAM}` and put it there"
        );
    }
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
