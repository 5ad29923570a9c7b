//! The container image: the program, the system's authorities, a folder for data, and nothing else.
//!
//! It is made without a container engine: tar makes its one layer, and umoci writes the rest by the OCI
//! image format. It is tried by unpacking it and running its entry point in its own root.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::program::Ended;
use super::{Release, install, output, text};

/// Who the hub runs as in a container.
const USER: u32 = 65_532;
/// Where Debian has the authorities.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The entry point.
const PROGRAM: &str = "/usr/local/bin/tidings";
/// The key of a hub that lives for a moment.
const KEY: &str = "7c1f0e9bd4a358267c1f0e9bd4a35826";
/// How often its health is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the hub may take to be ready.
const START_MAX: Duration = Duration::from_secs(30);

/// Makes the image and tries it.
pub fn make(release: &Release) -> anyhow::Result<()> {
    let layer = layer(release)?;
    let layout = release.folder("image")?.join("layout");
    let tag = format!("{}:{}", layout.display(), release.version);
    let umoci = |arguments: &[&str]| output(Command::new("umoci").args(arguments)).map(drop);
    output(
        Command::new("umoci")
            .args(["init", "--layout"])
            .arg(&layout),
    )?;
    umoci(&["new", "--image", &tag])?;
    output(
        Command::new("umoci")
            .args(["raw", "add-layer", "--image", &tag])
            .args(["--history.created", &time(release)?])
            .arg(&layer),
    )?;
    output(
        Command::new("umoci")
            .args(["config", "--image", &tag])
            .args(settings(release)?),
    )?;
    output(Command::new("umoci").args(["gc", "--layout"]).arg(&layout))?;
    let name = format!(
        "tidings-{}-{}.oci.tar",
        release.version,
        release.debian_architecture()
    );
    output(
        release
            .tar()
            .arg("-cf")
            .arg(release.dist.join(name))
            .arg("-C")
            .arg(&layout)
            .arg("."),
    )?;
    if release.runs_here() {
        try_out(release, &tag)?;
    }
    Ok(())
}

/// Returns the time of the commit as the image format has it.
fn time(release: &Release) -> anyhow::Result<String> {
    let time = format!("--date=@{}", release.epoch);
    text(Command::new("date").args(["--utc", &time, "+%Y-%m-%dT%H:%M:%SZ"]))
}

/// Returns what an engine is told of the image.
fn settings(release: &Release) -> anyhow::Result<Vec<String>> {
    let time = time(release)?;
    let label = |name: &str, value: &str| format!("org.opencontainers.image.{name}={value}");
    let user = format!("{USER}:{USER}");
    let settings = [
        ("--created", time.as_str()),
        ("--history.created", &time),
        ("--os", "linux"),
        ("--architecture", release.debian_architecture()),
        ("--config.user", &user),
        ("--config.entrypoint", PROGRAM),
        ("--config.cmd", "serve"),
        ("--config.env", "TIDINGS_DATA__DIR=/data"),
        ("--config.env", "PATH=/usr/local/bin"),
        ("--config.workingdir", "/data"),
        ("--config.volume", "/data"),
        ("--config.exposedports", "80"),
        ("--config.exposedports", "443"),
        ("--config.stopsignal", "SIGTERM"),
        ("--config.label", &label("version", &release.version)),
        ("--config.label", &label("revision", &release.commit)),
        ("--config.label", &label("licenses", "MIT OR Apache-2.0")),
    ];
    let words = settings.iter().flat_map(|(name, value)| [*name, *value]);
    Ok(words.map(str::to_owned).collect())
}

/// Makes the layer. The folder of the data belongs to the user that the hub runs as.
fn layer(release: &Release) -> anyhow::Result<PathBuf> {
    let root = release.folder("image/root")?;
    install(
        &release.program(),
        &root.join("usr/local/bin/tidings"),
        0o755,
    )?;
    install(
        &Path::new("/").join(AUTHORITIES),
        &root.join(AUTHORITIES),
        0o644,
    )
    .context("the package ca-certificates is needed")?;
    std::fs::create_dir_all(root.join("data"))?;
    let layer = release.work.join("image/layer.tar");
    let mut tar = release.tar();
    tar.arg("-cf").arg(&layer).arg("-C").arg(&root);
    output(tar.args(["--exclude=./data", "."]))?;
    let mut tar = Command::new("tar");
    tar.arg(format!("--mtime=@{}", release.epoch));
    tar.args(["--numeric-owner", "--mode=0750"]);
    tar.args([format!("--owner={USER}"), format!("--group={USER}")]);
    tar.arg("--append")
        .arg("-f")
        .arg(&layer)
        .arg("-C")
        .arg(&root);
    output(tar.arg("./data"))?;
    Ok(layer)
}

/// Unpacks the image and runs its entry point as its user in its root, until its own health check says
/// that it is ready.
fn try_out(release: &Release, tag: &str) -> anyhow::Result<()> {
    if text(Command::new("id").arg("-u"))? != "0" {
        println!("not run: only root can enter the image's root");
        return Ok(());
    }
    let bundle = release.work.join("image/bundle");
    output(
        Command::new("umoci")
            .args(["unpack", "--image", tag])
            .arg(&bundle),
    )?;
    let container = Container::of(&bundle)?;
    ensure!(
        container.arguments == [PROGRAM, "serve"],
        "{:?}",
        container.arguments
    );
    let hub = container
        .command(&[PROGRAM, "serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut hub = Ended(hub);
    let deadline = Instant::now() + START_MAX;
    loop {
        let health = container.command(&[PROGRAM, "health"]).output()?;
        if health.status.success() {
            let said = String::from_utf8_lossy(&health.stdout);
            println!("the image serves: {}", said.trim());
            return Ok(());
        }
        if hub.0.try_wait()?.is_some() || Instant::now() > deadline {
            drop(hub.0.kill());
            let mut said = String::new();
            if let Some(mut errors) = hub.0.stderr.take() {
                errors.read_to_string(&mut said)?;
            }
            bail!("the image's hub is not ready: {said}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An unpacked image and how it says that it is run.
struct Container {
    root: PathBuf,
    arguments: Vec<String>,
    environment: Vec<String>,
    /// Where its hub listens here.
    address: String,
}

impl Container {
    fn of(bundle: &Path) -> anyhow::Result<Self> {
        let config = std::fs::read_to_string(bundle.join("config.json"))?;
        let config: serde_json::Value = serde_json::from_str(&config)?;
        let words = |name: &str| -> Vec<String> {
            let list = config
                .get("process")
                .and_then(|process| process.get(name)?.as_array());
            let list = list.into_iter().flatten();
            list.filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        let root = bundle.join("rootfs");
        // Every engine gives these (OCI runtime specification, "Default Devices").
        let devices = root.join("dev");
        std::fs::create_dir_all(&devices)?;
        for (name, minor) in [("random", "8"), ("urandom", "9")] {
            output(
                Command::new("mknod")
                    .args(["-m", "666"])
                    .arg(devices.join(name))
                    .args(["c", "1", minor]),
            )?;
        }
        Ok(Self {
            root,
            arguments: words("args"),
            environment: words("env"),
            address: TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string(),
        })
    }

    /// Returns a command in its root, with its variables and those of a small hub.
    fn command(&self, arguments: &[&str]) -> Command {
        // Named in full: the search would go by the path of the image.
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(format!("--userspec={USER}:{USER}"));
        command.arg(&self.root).args(arguments).env_clear();
        let variables = self.environment.iter();
        command.envs(variables.filter_map(|variable| variable.split_once('=')));
        command.envs([
            ("TIDINGS_LISTEN__0__ADDRESS", self.address.as_str()),
            ("TIDINGS_HUB__PUBLIC_URL", "https://example.com/hub"),
            ("TIDINGS_AUTH__ISSUERS__0__ISSUER", "https://example.com"),
            ("TIDINGS_AUTH__ISSUERS__0__KEY", KEY),
        ]);
        command
    }
}
