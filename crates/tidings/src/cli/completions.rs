//! `tidings completions` and `tidings man`: what shells and `man` know of the command line.

use std::path::PathBuf;

use anyhow::Context;

use super::print;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write the manual pages into a folder
///
/// One page for each command: tidings.1, tidings-dev.1 and so on.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN)]
pub struct Man {
    /// The folder; it is created if it does not exist
    folder: PathBuf,
}

/// Prints the completions of `command`.
pub fn completions(arguments: &Completions, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "tidings", &mut script);
    print::output(&String::from_utf8(script).context("the script is not UTF-8")?)
}

/// Writes the pages of `command`.
pub fn man(arguments: &Man, command: clap::Command) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| folder.display().to_string())
}

const COMPLETIONS: &str = "\
Examples:
  tidings completions bash > ~/.local/share/bash-completion/completions/tidings
  tidings completions zsh > \"${fpath[1]}/_tidings\"
  tidings completions fish > ~/.config/fish/completions/tidings.fish";

const MAN: &str = "\
Examples:
  tidings man ~/.local/share/man/man1
  tidings man /tmp/pages && man /tmp/pages/tidings-publish.1";
