//! Every development command of Tidings: `cargo xtask --help` lists them.
//!
//! This file has the command line and the stages of each command. Running stages, their times and
//! counts are in `stages.rs`; each further file has one kind of stage. Nothing here belongs to the
//! product.

#![expect(
    clippy::print_stdout,
    reason = "a development command talks to the terminal"
)]
#![expect(
    unreachable_pub,
    reason = "in a binary, `pub` says: used by another module"
)]

mod bench;
mod checklist;
mod codegen;
mod compatibility;
mod counts;
mod deps;
mod hooks;
mod licences;
mod release;
mod rust_tests;
mod rust_text;
mod site;
mod stages;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use clap::{ArgAction, Parser, Subcommand};

use stages::{Stages, Step};

/// Development commands of Tidings.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Runs the slow tests too, which otherwise count as skipped.
    #[arg(
        long,
        global = true,
        env = SLOW,
        action = ArgAction::SetTrue,
        value_parser = FalseyValueParser::new()
    )]
    slow: bool,
}

/// The audit of a cluster that every run has: long enough for some thirty faults.
const AUDIT_SECS: u64 = 120;
const AUDIT_SEED: u64 = 1;
const AUDITED: &[bench::cluster::EngineKind] = &[
    bench::cluster::EngineKind::Redis,
    bench::cluster::EngineKind::Postgresql,
    bench::cluster::EngineKind::Nats,
];

/// The variable that test runners of other languages read.
const SLOW: &str = "RUN_SLOW_TESTS";

#[derive(Subcommand)]
enum Command {
    /// Checks formatting, runs clippy and tidy: the pre-commit hook.
    Check,
    /// Runs the fast tests, or those whose name contains FILTER; with --all, everything, including
    /// set-up.
    Test {
        /// Runs only tests whose name contains this text.
        filter: Option<String>,
        /// Installs what the tests need and runs all of them.
        #[arg(long, conflicts_with = "filter")]
        all: bool,
    },
    /// Runs what continuous integration runs: test --all, the documentation, the fuzz targets and
    /// the licences.
    Ci,
    /// Installs what the tests need: Debian, npm and Python packages.
    Deps,
    /// Runs the project's own checks of its files.
    Tidy,
    /// Installs the pre-commit hook.
    Hooks,
    /// Writes the generated documents.
    Codegen {
        /// Writes nothing; fails if a document is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Fuzzes one decoder, which needs cargo-fuzz, or only checks that all targets compile.
    Fuzz {
        /// A file in fuzz/fuzz_targets, without its extension.
        #[arg(required_unless_present = "check")]
        target: Option<String>,
        /// Only checks that every target compiles.
        #[arg(long, conflicts_with = "target")]
        check: bool,
        /// Seconds to fuzz.
        #[arg(long, default_value_t = 60)]
        secs: u64,
    },
    /// Runs simulated hubs: SCENARIO --seed N --log replays one run; --seeds N tries many.
    Sim {
        /// Options of `tidings-sim`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Measures the hub against its targets and appends the figures to bench/results.jsonl.
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        /// Uses tiny sizes and checks no times, only that everything arrives and every figure exists.
        #[arg(long)]
        small: bool,
        /// Runs only these, by name.
        #[arg(long, value_delimiter = ',', value_name = "NAME,NAME", value_parser = bench::run_names())]
        only: Vec<String>,
        #[command(subcommand)]
        long: Option<LongRun>,
    },
    /// Measures the ZeroMQ broker beside libzmq's own proxy, and a bridge into the hub.
    BenchZeromq {
        /// Uses tiny sizes and checks no times, only that everything arrives and every figure exists.
        #[arg(long)]
        small: bool,
    },
    /// Attacks a hub like an outsider: its memory must stay bounded, and a bystander must be served.
    Attack {
        /// Options of `bench/attack.py`: --minutes N, --small, --only KIND, --seed N.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Makes what people get without a compiler: a static program, packages, an image, checksums.
    Release(release::Options),
    /// Builds the documentation site in target/site.
    Site,
    /// Starts the hub with its demo pages.
    Dev {
        /// Options of `tidings dev`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

#[derive(Subcommand)]
enum LongRun {
    /// Runs mixed load for a long time: nothing may be lost, and memory must stay flat. Draws
    /// docs/soak.svg.
    Soak {
        /// Minutes of load.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Determines the behaviour of all subscribers.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Kills the hub (`kill -9`) at random moments under load: nothing acknowledged may be lost.
    Crash {
        /// Minutes of load.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// Determines when the hub is killed.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// One process takes over from another under load, again and again: nobody may be refused.
    Restart {
        /// How often.
        #[arg(long, default_value_t = 10)]
        restarts: usize,
    },
    /// A hub with many event streams reads a changed configuration again and again: none may end.
    Reload {
        /// How often.
        #[arg(long, default_value_t = 100)]
        reloads: usize,
        /// Event streams. Hub and generator need as many open files each (`ulimit -n`).
        #[arg(long, default_value_t = 10_000)]
        streams: usize,
    },
    /// Kills, pauses and cuts off the hubs of a cluster and their engine under load: nothing
    /// acknowledged may be lost or doubled, and all hubs must have the same.
    Cluster {
        /// Minutes of load.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        /// Determines what is broken, and when.
        #[arg(long)]
        seed: Option<u64>,
        /// What orders the updates; several at the same time if it is given more than once.
        #[arg(long, default_value = "redis")]
        engine: Vec<bench::cluster::EngineKind>,
    },
    /// Draws docs/soak.svg from the samples of the last soak.
    Plot,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command, arguments.slow) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command. Returns whether it succeeded.
fn run(command: Command, slow: bool) -> anyhow::Result<bool> {
    let root = root()?;
    let mut stages = Stages::new(&root);
    match command {
        Command::Check => check(&mut stages, &root),
        Command::Test { filter, all: false } => {
            rust_tests::run(&mut stages, &root, filter.as_deref(), slow)?;
        }
        Command::Test {
            filter: _,
            all: true,
        } => everything(&mut stages, &root, slow, |_nothing_more| {}),
        Command::Ci => ci(&mut stages, &root, slow),
        Command::Deps => deps::install(&mut stages, &root),
        Command::Tidy => stages.check("tidy", || tidy::check(&root)),
        Command::Hooks => return hooks::install(&root).map(|()| true),
        Command::Codegen { check: true } => {
            stages.check("generated files", || codegen::check(&root))
        }
        Command::Codegen { check: false } => return codegen::write(&root).map(|()| true),
        Command::Fuzz {
            target: Some(target),
            secs,
            check: _,
        } => stages.run("fuzz", &fuzz(&target, secs)),
        Command::Fuzz { target: None, .. } => stages.run("fuzz targets", &fuzz_targets()),
        Command::Sim { options } => {
            let step = Step::cargo(&["run", "--release", "-p", "tidings-sim", "--"]);
            stages.run("simulation", &step.args(options));
        }
        Command::Bench {
            small,
            only,
            long: None,
        } => {
            let size = if small {
                bench::Size::Small
            } else {
                bench::Size::Full
            };
            stages.check("benches", || bench::run(&root, size, &only));
        }
        Command::Bench {
            long: Some(run), ..
        } => long_run(&mut stages, &root, &run)?,
        Command::BenchZeromq { small: true } => zeromq_bench(&mut stages, &root, &["--small"]),
        Command::BenchZeromq { small: false } => {
            install_and_build(&mut stages, &root);
            zeromq_bench(&mut stages, &root, &[]);
        }
        Command::Attack { options } => {
            install_and_build(&mut stages, &root);
            let binary = root.join("target/release/tidings");
            attack(&mut stages, &root, &binary, &options);
        }
        Command::Release(options) => {
            deps::install_for_release(&mut stages);
            release::run(&mut stages, &root, &options)?;
        }
        Command::Site => {
            deps::wheels(&mut stages, &root);
            site::build(&mut stages, &root);
        }
        Command::Dev { options } => {
            stages.run(
                "dev",
                &Step::cargo(&["run", "-p", "tidings", "--", "dev"]).args(options),
            );
        }
    }
    Ok(stages.finish())
}

fn long_run(stages: &mut Stages, root: &Path, run: &LongRun) -> anyhow::Result<()> {
    let chosen = |seed: &Option<u64>| seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let size = bench::Size::Full;
    match run {
        LongRun::Soak { minutes, seed } => stages.check("soak", || {
            bench::long::soak(root, size, 60 * minutes, chosen(seed))
        }),
        LongRun::Crash { minutes, seed } => stages.check("crashes", || {
            bench::long::crash(root, size, 60 * minutes, chosen(seed))
        }),
        LongRun::Restart { restarts } => stages.check("restarts", || {
            bench::restarts::restart(root, size, *restarts)
        }),
        LongRun::Reload { reloads, streams } => stages.check("reloads", || {
            let (reloads, streams) = (*reloads, *streams);
            bench::reloads::reload(root, size, bench::reloads::Load { reloads, streams })
        }),
        LongRun::Cluster {
            minutes,
            seed,
            engine,
        } => stages.check("audit of a cluster", || {
            bench::cluster::audit(root, size, 60 * minutes, chosen(seed), engine)
        }),
        LongRun::Plot => bench::long::draw(root)?,
    }
    Ok(())
}

/// Prepares a command that needs other people's programs and an optimised hub.
fn install_and_build(stages: &mut Stages, root: &Path) {
    deps::install(stages, root);
    let build = Step::cargo(&["build", "--release", "-p", "tidings"]);
    stages.run("build", &build);
}

/// Returns the root of the workspace: the parent of this crate's folder.
fn root() -> anyhow::Result<PathBuf> {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest_dir
        .parent()
        .context("xtask has no parent folder")?
        .to_path_buf())
}

fn check(stages: &mut Stages, root: &Path) {
    stages.run("formatting", &Step::cargo(&["fmt", "--all", "--check"]));
    stages.run("clippy", &clippy());
    stages.check("tidy", || tidy::check(root));
    // The fuzz targets are a separate workspace, whose lock file does not follow a change of our
    // dependencies.
    let fuzz = ["fetch", "--manifest-path", "fuzz/Cargo.toml", "--locked"];
    stages.run("lock file of the fuzz targets", &Step::cargo(&fuzz));
}

/// Cheap checks before expensive ones, and set-up beside the first ones, which need none of it: downloads
/// wait for the network, compilers for the processor. Audits judge no times, and whatever is beside them is
/// one more fault. `more` compiles beside the conformance tests, which run one after the other and mostly
/// wait. Every stage runs, even if earlier ones failed.
fn everything(stages: &mut Stages, root: &Path, slow: bool, more: impl FnOnce(&mut Stages)) {
    stages.beside(
        |stages| deps::install(stages, root),
        |stages| check(stages, root),
    );
    stages.run(
        "build",
        &Step::cargo(&["build", "--workspace", "--all-targets", "--locked"]),
    );
    rust_tests::all(stages, slow);
    skipped_rules(stages);
    stages.check("small benches", || {
        bench::run(root, bench::Size::Small, &[])
    });
    stages.beside(
        |stages| {
            stages.check("audits of clusters", || {
                bench::cluster::audit(root, bench::Size::Small, AUDIT_SECS, AUDIT_SEED, AUDITED)
            });
        },
        |stages| {
            stages.run(
                "documentation examples",
                &Step::cargo(&["test", "--workspace", "--doc", "--locked"]),
            );
            stages.check("generated files", || codegen::check(root));
            site::build(stages, root);
        },
    );
    npm_tests(stages, root, slow);
    stages.beside(|stages| conformance_tests(stages, root, slow), more);
    zeromq_bench(stages, root, &["--small"]);
    attack(stages, root, &binary(root), &["--small".to_owned()]);
}

fn ci(stages: &mut Stages, root: &Path, slow: bool) {
    everything(stages, root, slow, |stages| {
        stages.run("documentation", &documentation());
        stages.run("fuzz targets", &fuzz_targets());
    });
    stages.check("licences", || licences::check(root));
    deps::install_for_release(stages);
    release::rehearse(stages, root);
}

fn zeromq_bench(stages: &mut Stages, root: &Path, options: &[&str]) {
    let script = root.join("bench/zeromq.py");
    let step = Step::new(deps::python(root), &[])
        .args([script])
        .args(options);
    stages.run("ZeroMQ bench", &step.must_count());
}

fn attack(stages: &mut Stages, root: &Path, binary: &Path, options: &[String]) {
    let step = Step::new(deps::python(root), &[])
        .args([root.join("bench/attack.py")])
        .args(options)
        .env("TIDINGS_BIN", binary);
    stages.run("attack", &step.must_count());
}

/// Runs hubs that skip a rule. The simulator's checkers must notice each one, and so must the
/// history's test of acknowledgements.
fn skipped_rules(stages: &mut Stages) {
    let rules = [
        ("tidings-sim", "sabotage::"),
        ("tidings-history", "an_acknowledgement_moved"),
    ];
    for (package, filter) in rules {
        // Both packages, so that both stages use the same libraries.
        let step = Step::cargo(&["test", "-ptidings-sim", "-ptidings-history", "--locked"]);
        let step = step.args(["--features", "sabotage", "--test", "it", filter]);
        stages.run(&format!("skipped rules, {package}"), &step.must_count());
    }
}

/// The browser client's own tests, then everything that needs a browser.
fn npm_tests(stages: &mut Stages, root: &Path, slow: bool) {
    for name in deps::NPM_FOLDERS {
        let step = Step::new("npm", &["test"])
            .within(&root.join(name))
            .must_count();
        let name = format!("npm test in {name}");
        stages.run(&name, &for_tests(step, root, slow));
    }
}

/// Tests the hub with other people's libraries: `pytest.ini` configures how they run.
fn conformance_tests(stages: &mut Stages, root: &Path, slow: bool) {
    let step = Step::new(deps::python(root), &["-m", "pytest", "-q", "--durations=5"]).must_count();
    stages.run("conformance tests", &for_tests(step, root, slow));
}

/// Sets the environment for tests in other languages.
fn for_tests(step: Step, root: &Path, slow: bool) -> Step {
    let step = step.env("TIDINGS_BIN", binary(root));
    if slow { step.env(SLOW, "1") } else { step }
}

/// Returns the path of the hub that the build stage makes.
fn binary(root: &Path) -> PathBuf {
    root.join("target/debug/tidings")
}

/// Flags are passed to clippy itself: in RUSTFLAGS they would rebuild every dependency.
fn clippy() -> Step {
    Step::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])
}

fn documentation() -> Step {
    let step = Step::cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    step.args(["--locked"]).env("RUSTDOCFLAGS", "-D warnings")
}

fn fuzz(target: &str, secs: u64) -> Step {
    let limit = format!("-max_total_time={secs}");
    // The sanitizers need compiler options that the stable toolchain accepts only with this.
    Step::cargo(&["fuzz", "run", target, "--"])
        .args([limit])
        .env("RUSTC_BOOTSTRAP", "1")
}

/// Checks that the targets still compile. This needs neither cargo-fuzz nor unstable options, and
/// little disk space: the 32 linked programs take 6 GB. What clippy has compiled is used again.
fn fuzz_targets() -> Step {
    let step = Step::cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--locked"]);
    step.args(["--target-dir", "target"])
}
