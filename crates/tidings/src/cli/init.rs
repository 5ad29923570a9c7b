//! `tidings init`: writes a configuration to begin with, and a key, from a few answers.

use std::io::{BufRead, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tidings_core::HubUrl;
use tidings_wire::origin::OriginList;
use toml::Value;

use super::{Usage, print};
use crate::certificate::files::{Certificate, TlsFiles};
use crate::config::starter::{self, Extent};
use crate::config::{self, check};

/// Write a configuration for `tidings serve`, and a key
///
/// Asks a few questions if it runs in a terminal and no --public-url is given. Every key of the
/// configuration that is not set is a comment with its default.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// URL at which browsers reach the hub; without a path, /.well-known/mercure is added
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Address to listen on [default: 127.0.0.1:4400, behind a proxy; with a certificate `[::]:443`]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,

    /// PEM file with the certificate chain, if the hub itself terminates TLS
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<String>,

    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<String>,

    /// Origin of pages that may use the hub, such as `https://example.com`; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,

    /// Let everybody read public updates, without a token
    #[arg(long)]
    anonymous: bool,

    /// Issuer in the tokens of your application [default: the origin of the public URL]
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,

    /// File for the key that signs tokens; a new key is made if it does not exist
    #[arg(long, value_name = "FILE", default_value = "tidings.key")]
    key_file: PathBuf,

    /// Folder for the history [default: hub-data in this folder; for root /var/lib/tidings]
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,

    /// The configuration to write; - writes to standard output
    #[arg(long, value_name = "FILE", default_value = "tidings.toml")]
    output: PathBuf,

    /// Write every key with its whole manual
    #[arg(long)]
    full: bool,

    /// Replace the configuration if it exists; a key is never replaced
    #[arg(long)]
    force: bool,

    /// Ask the questions even if standard input is not a terminal
    #[arg(long, conflicts_with = "public_url")]
    ask: bool,
}

/// What the configuration is to say.
struct Answers {
    public_url: String,
    certificate: Option<(String, String)>,
    origins: Vec<String>,
    anonymous: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let output = &arguments.output;
    let to_file = output.as_path() != Path::new("-");
    if to_file && output.exists() && !arguments.force {
        bail!("{} exists: --force replaces it", output.display());
    }
    let stdin = std::io::stdin();
    let answers = match &arguments.public_url {
        Some(url) => Answers {
            public_url: url.clone(),
            certificate: arguments
                .certificate
                .clone()
                .zip(arguments.private_key.clone()),
            origins: arguments.origins.clone(),
            anonymous: arguments.anonymous,
        },
        None if arguments.ask || stdin.is_terminal() => ask(arguments, &mut stdin.lock())?,
        None => {
            return Err(
                Usage("--public-url is missing: the URL at which browsers reach the hub").into(),
            );
        }
    };
    let url = public_url(&answers.public_url)?;
    OriginList::parse(answers.origins.iter().map(String::as_str))?;
    if let Some((certificate, key)) = &answers.certificate {
        let files = TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
        };
        Certificate::read(files).context("the certificate cannot be used")?;
    }
    let new_key = make_key(&arguments.key_file)?;
    let chosen = chosen(arguments, &answers, &url)?;
    let extent = match arguments.full {
        true => Extent::Full,
        false => Extent::Usual,
    };
    let text = starter::toml(&chosen, extent);
    // Whatever is wrong with an answer is said by the checks that the hub makes.
    config::of_text("tidings init", &text)?;
    if !to_file {
        return print::output(&text);
    }
    write(output, &text, arguments.force)?;
    print::error(&next_steps(arguments, &url, new_key));
    Ok(())
}

/// Asks what was not given as an option. An empty answer takes the default.
fn ask(arguments: &Arguments, input: &mut impl BufRead) -> anyhow::Result<Answers> {
    let mut question = |text: &str, default: &str| -> anyhow::Result<String> {
        print::error(&format!("{text} [{default}]"));
        let mut line = String::new();
        if input
            .read_line(&mut line)
            .context("cannot read the answer")?
            == 0
        {
            bail!("the input ended before all questions were answered");
        }
        Ok(match line.trim() {
            "" => default.to_owned(),
            answer => answer.to_owned(),
        })
    };
    let public_url = question(
        "At which URL will browsers reach the hub?",
        "https://example.com",
    )?;
    let certificate = match (&arguments.certificate, &arguments.private_key) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        _ => {
            let proxy = "none: a proxy terminates TLS";
            let certificate = question("File with the TLS certificate?", proxy)?;
            if certificate == proxy {
                None
            } else {
                let key = question("File with its private key?", "privkey.pem")?;
                Some((certificate, key))
            }
        }
    };
    let mut origins = arguments.origins.clone();
    if origins.is_empty() {
        let own = "none: only those of the hub's own origin";
        let answer = question(
            "Origins of pages that may use the hub, with commas between?",
            own,
        )?;
        if answer != own {
            origins = answer
                .split(',')
                .map(|origin| origin.trim().to_owned())
                .collect();
        }
    }
    let anonymous = arguments.anonymous
        || question(
            "May everybody read public updates without a token? yes or no",
            "no",
        )?
        .to_ascii_lowercase()
        .starts_with('y');
    Ok(Answers {
        public_url,
        certificate,
        origins,
        anonymous,
    })
}

/// Reads the URL; one without a path gets that of Mercure.
fn public_url(text: &str) -> anyhow::Result<HubUrl> {
    let mut url = url::Url::parse(text).with_context(|| format!("{text:?} is not a URL"))?;
    if url.path() == "/" {
        url.set_path("/.well-known/mercure");
    }
    Ok(HubUrl::parse(url.as_str())?)
}

fn chosen(
    arguments: &Arguments,
    answers: &Answers,
    url: &HubUrl,
) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let address = if answers.certificate.is_some() {
        "[::]:443"
    } else {
        "127.0.0.1:4400"
    };
    let address = arguments.listen.as_deref().unwrap_or(address);
    let issuer = arguments.issuer.clone().unwrap_or_else(|| url.origin());
    let key_file = arguments.key_file.display().to_string();
    let mut chosen: Vec<(&'static str, Value)> = vec![("listen.0.address", address.into())];
    if let Some((certificate, key)) = &answers.certificate {
        chosen.push(("listen.0.tls", true.into()));
        chosen.push(("tls.certificate", certificate.as_str().into()));
        chosen.push(("tls.key", key.as_str().into()));
    }
    chosen.push(("hub.public_url", url.as_str().into()));
    if is_plaintext(url) {
        chosen.push(("hub.allow_plaintext", true.into()));
    }
    if let Some(data) = data_folder(arguments)? {
        chosen.push(("data.dir", data.into()));
    }
    chosen.push(("auth.issuers.0.issuer", issuer.into()));
    chosen.push(("auth.issuers.0.key_file", key_file.into()));
    if answers.anonymous {
        chosen.push(("subscribe.anonymous", true.into()));
    }
    if !answers.origins.is_empty() {
        chosen.push(("cors.origins", answers.origins.clone().into()));
    }
    Ok(chosen)
}

/// Whether tokens travel unencrypted to another machine.
fn is_plaintext(url: &HubUrl) -> bool {
    url::Url::parse(url.as_str())
        .is_ok_and(|url| url.scheme() == "http" && !check::is_loopback(&url))
}

/// Returns the folder for the history, unless it is the default of the configuration, which only root
/// can make.
fn data_folder(arguments: &Arguments) -> anyhow::Result<Option<String>> {
    if arguments.data.is_some() || rustix::process::geteuid().is_root() {
        return Ok(arguments.data.clone());
    }
    let folder = std::path::absolute(OWN_DATA).context("no current folder")?;
    Ok(Some(folder.display().to_string()))
}

/// Makes a key that only its owner can read. Returns false if there is one.
fn make_key(path: &Path) -> anyhow::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("the system provides no random bytes")?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write(path, &format!("{key}\n"), false)?;
    Ok(true)
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str, replace: bool) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match replace {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let mut file = options
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes())
        .with_context(|| path.display().to_string())
}

fn next_steps(arguments: &Arguments, url: &HubUrl, new_key: bool) -> String {
    let (output, key) = (arguments.output.display(), arguments.key_file.display());
    let issuer = arguments.issuer.clone().unwrap_or_else(|| url.origin());
    let wrote = match new_key {
        true => format!("wrote {output} and the new key {key}"),
        false => format!("wrote {output}; the key is the one in {key}"),
    };
    let remark = match is_plaintext(url) {
        true => {
            "hub.allow_plaintext is set, since the URL begins with http: tokens travel unencrypted\n"
        }
        false => "",
    };
    let url = url.as_str();
    format!(
        "{wrote}\n\
         {remark}\
         start the hub:  tidings serve --config {output}\n\
         make a token:   tidings token make --issuer {issuer} --key-file {key} --audience {url} \
         --publish '*'"
    )
}

/// The folder for the history of a user who is not root. That of `tidings dev` is another.
const OWN_DATA: &str = "hub-data";

const EXAMPLES: &str = "\
Examples:
  tidings init
  tidings init --public-url https://example.com --anonymous \\
    --origin https://www.example.com
  tidings init --public-url https://example.com \\
    --certificate fullchain.pem --private-key privkey.pem
  tidings init --public-url https://example.com --full --output -";
