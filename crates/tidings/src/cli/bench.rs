//! `tidings bench …`: starts the load generator, which is a program of its own, `tidings-bench`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

/// The load generator's name, beside this program or in the path.
const PROGRAM: &str = "tidings-bench";

/// Measure a hub: speed, delay, CPU time and memory, by the program tidings-bench
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// What tidings-bench is started with
    #[arg(
        value_name = "ARGUMENTS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

/// Becomes `tidings-bench`. Returns only if it cannot be started.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Beside this program first: that one is of the same version.
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
