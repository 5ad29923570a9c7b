//! `cargo xtask sim SCENARIO --seed N`: replays one run, or tries many seeds.

#![expect(
    clippy::print_stdout,
    reason = "a development command talks to the terminal"
)]

use anyhow::{Context, bail};
use clap::Parser;
use tidings_sim::world::Outcome;
use tidings_sim::{SCENARIOS, cluster, run};

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
    let mut chosen = all();
    if let Some(wanted) = &arguments.scenario {
        let names: Vec<&str> = chosen.iter().map(|(name, _)| *name).collect();
        let index = names.iter().position(|name| name == wanted);
        let index = index.with_context(|| format!("there is no {wanted:?}, only {names:?}"))?;
        chosen = vec![chosen.swap_remove(index)];
    }
    let mut broken = 0;
    for (name, run) in chosen {
        for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
            let outcome = run(seed);
            if arguments.log {
                outcome.log.iter().for_each(|line| println!("{line}"));
            }
            if let Some(reason) = outcome.broken {
                broken += 1;
                println!("{name} seed {seed}: {reason}");
            }
        }
        println!("{name}: {} seeds", arguments.seeds);
    }
    if broken > 0 {
        bail!("{broken} runs broke an invariant");
    }
    Ok(())
}

/// A scenario: its name, and what runs it with a seed.
type Runnable = (&'static str, Box<dyn Fn(u64) -> Outcome>);

/// Returns all scenarios, of one hub and of several.
fn all() -> Vec<Runnable> {
    let single = SCENARIOS
        .iter()
        .map(|scenario| -> Runnable { (scenario.name, Box::new(move |seed| run(scenario, seed))) });
    let clusters = cluster::CLUSTERS.iter().map(|scenario| -> Runnable {
        (
            scenario.name,
            Box::new(move |seed| cluster::run(scenario, seed)),
        )
    });
    single.chain(clusters).collect()
}
