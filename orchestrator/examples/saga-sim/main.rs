//! `saga-sim`: runs the simulator, tells the story of one seed, and shows that deliberate bugs are found.

#[path = "../../tests/sim/mod.rs"]
mod sim;

mod campaign;
mod hunt;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Worlds are made of small things that live shortly.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use sim::bugs::Bug;
use sim::fault::Kept;
use sim::{Recipe, Simulator, shrink};

/// Runs the engine and the workers in simulated worlds full of faults, one for each seed
#[derive(Parser)]
#[command(
    name = "saga-sim",
    after_help = "Examples:\n  saga-sim run                          200,000 schedules on all cores\n  \
                  saga-sim run --seeds 5000000 --from 1000000\n  \
                  saga-sim replay 4711                  the story of one schedule\n  \
                  saga-sim replay 4711 --keep 2,5       with no other faults than these\n  \
                  saga-sim bugs                         that deliberate bugs are found, as a table"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one schedule for each seed; fails if anything that must hold does not
    #[command(after_help = "Examples:\n  saga-sim run\n  saga-sim run --seeds 1000 --from 5000 --threads 1")]
    Run {
        /// How many seeds
        #[arg(long, default_value_t = 200_000)]
        seeds: u64,
        /// The first one
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Worlds at the same time [default: one for each core]
        #[arg(long)]
        threads: Option<usize>,
    },
    /// Tell the story of one schedule
    #[command(after_help = "Examples:\n  saga-sim replay 4711\n  saga-sim replay 12 --bug FenceDropped --shrink")]
    Replay {
        seed: u64,
        /// With a deliberate bug
        #[arg(long)]
        bug: Option<Bug>,
        /// With no other faults than these, by number (`none` for none)
        #[arg(long, value_parser = kept)]
        keep: Option<Kept>,
        /// Look for fewer faults with which the same rule is broken
        #[arg(long)]
        shrink: bool,
    },
    /// Hunt deliberate bugs and print the table of how they were found; fails if one is not
    #[command(
        after_help = "Examples:\n  saga-sim bugs\n  saga-sim bugs --within 1000\n  saga-sim bugs --only FenceDropped"
    )]
    Bugs {
        /// Schedules in which each has to be found
        #[arg(long, default_value_t = 20_000)]
        within: u64,
        /// Hunt this one alone
        #[arg(long)]
        only: Option<Bug>,
        /// Worlds at the same time [default: one for each core]
        #[arg(long)]
        threads: Option<usize>,
    },
}

fn kept(text: &str) -> Result<Kept, String> {
    if text == "none" {
        return Ok(Kept::Only(Vec::new()));
    }
    let numbers = text.split(',').map(|number| number.trim().parse::<u32>());
    numbers.collect::<Result<_, _>>().map(Kept::Only).map_err(|error| format!("{error}; for example: 2,5"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    let right = match Args::parse().command {
        Command::Run { seeds, from, threads } => campaign::run(from, seeds, threads.unwrap_or_else(cores)),
        Command::Bugs { within, only, threads } => hunt::all(within, only, threads.unwrap_or_else(cores)),
        Command::Replay { seed, bug, keep, shrink } => {
            replay(Recipe { seed, bug, kept: keep.unwrap_or_default(), told: false }, shrink)
        }
    };
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells the story of a recipe. Whether it ends well.
fn replay(recipe: Recipe, smaller: bool) -> bool {
    let simulator = Simulator::new();
    let recipe = if smaller { shrink(&simulator, &recipe).0 } else { recipe };
    let outcome = simulator.run(&Recipe { told: true, ..recipe.clone() });
    outcome.story.iter().for_each(|line| println!("{line}"));
    println!();
    for (number, fault) in &outcome.faults {
        println!("fault {number}: {}", fault.words());
    }
    match &outcome.wrong {
        Some(wrong) => println!("{wrong}\n{}", command(&recipe)),
        None => println!("seed {}: all that must hold does, {} rows", recipe.seed, outcome.rows),
    }
    outcome.wrong.is_none()
}

/// The command that repeats a recipe.
fn command(recipe: &Recipe) -> String {
    let mut text = format!("cargo run --release -p orchestrator --example saga-sim -- replay {}", recipe.seed);
    if let Some(bug) = recipe.bug {
        text.push_str(&format!(" --bug {bug}"));
    }
    match &recipe.kept {
        Kept::All => {}
        Kept::Only(numbers) if numbers.is_empty() => text.push_str(" --keep none"),
        Kept::Only(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            text.push_str(&format!(" --keep {}", numbers.join(",")));
        }
    }
    text
}
