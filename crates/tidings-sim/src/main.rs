//! `cargo xtask sim SCENARIO --seed N`: replays one run, or tries many seeds.

#![expect(
    clippy::print_stdout,
    reason = "a development command talks to the terminal"
)]

use anyhow::{Context, bail};
use clap::Parser;
use tidings_sim::{SCENARIOS, Scenario, run};

/// Runs simulated hubs.
#[derive(Parser)]
struct Arguments {
    /// The scenario; all of them if left out.
    scenario: Option<String>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to try.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Prints the log of each run.
    #[arg(long)]
    log: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let chosen: Vec<&Scenario> = match &arguments.scenario {
        None => SCENARIOS.iter().collect(),
        Some(name) => {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            let scenario = Scenario::by_name(name);
            vec![scenario.with_context(|| format!("there is no {name:?}, only {names:?}"))?]
        }
    };
    let mut broken = 0;
    for scenario in chosen {
        for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
            let outcome = run(scenario, seed);
            if arguments.log {
                outcome.log.iter().for_each(|line| println!("{line}"));
            }
            if let Some(reason) = outcome.broken {
                broken += 1;
                println!("{} seed {seed}: {reason}", scenario.name);
            }
        }
        println!("{}: {} seeds", scenario.name, arguments.seeds);
    }
    if broken > 0 {
        bail!("{broken} runs broke an invariant");
    }
    Ok(())
}
