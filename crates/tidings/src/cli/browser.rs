//! Opens an address in the user's browser, for `tidings dev --open`.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::config::env;

/// Opens `url`, and does not wait for the browser to end.
///
/// # Errors
///
/// If no program that opens addresses can be started.
pub fn open(url: &str) -> anyhow::Result<()> {
    let variables = env::variables();
    let named = variables.iter().find(|variable| variable.name == "BROWSER");
    let named = named.and_then(|variable| variable.value.as_deref());
    let openers = named.into_iter().chain(OPENERS);
    for opener in openers {
        let mut command = Command::new(opener);
        command.arg(url).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(mut child) => {
                // Somebody has to take note of its end.
                let wait = move || child.wait();
                let waiting = std::thread::Builder::new().name("browser".into());
                waiting.spawn(wait).context("cannot start a thread")?;
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| opener.to_owned()),
        }
    }
    bail!("no browser could be opened: set BROWSER, or open {url} yourself")
}

/// What opens an address on the desktops of Linux and macOS.
const OPENERS: [&str; 2] = ["xdg-open", "open"];
