//! One search, watched and reported.

use crate::arguments::Limits;
use crate::progress;
use crate::search::explore::{self, Found, Progress, Violation};
use crate::search::model::Model;

/// Whether it is as it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Broken,
}

impl Verdict {
    pub fn of(all: Vec<Self>) -> Self {
        if all.contains(&Self::Broken) { Self::Broken } else { Self::Holds }
    }
}

/// Searches a world in which everything must hold.
pub fn holds<M: Model>(title: &str, model: &M, limits: Limits) -> Verdict {
    println!("{title}");
    let found = search(model, limits);
    match &found.violation {
        Some(violation) => {
            show(violation);
            Verdict::Broken
        }
        None if found.complete => {
            println!("  no violation: these are all states");
            Verdict::Holds
        }
        None => {
            println!("  no violation so far: NOT all states, a limit was reached");
            Verdict::Holds
        }
    }
}

/// Searches a world in which something must not.
pub fn refuted<M: Model>(title: &str, model: &M, limits: Limits) -> Verdict {
    println!("{title}");
    let found = search(model, limits);
    match &found.violation {
        Some(violation) => {
            show(violation);
            Verdict::Holds
        }
        None => {
            println!("  NOT REFUTED: no violation was found");
            Verdict::Broken
        }
    }
}

fn search<M: Model>(model: &M, limits: Limits) -> Found {
    let threads = limits.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let progress = Progress::default();
    let watched = progress::Watched { memory: limits.memory << 30 };
    let found = progress::watch(&watched, &progress, || {
        explore::explore(model, explore::Limits { threads, states: limits.states }, &progress)
    });
    let seconds = found.took.as_secs_f64();
    println!(
        "  {} states, {} steps, the farthest {} away, in {seconds:.1} s ({} states/s), {} MiB",
        progress::grouped(found.states),
        progress::grouped(found.steps),
        found.depth,
        progress::grouped((found.states as f64 / seconds.max(0.001)) as u64),
        progress::memory() >> 20
    );
    found
}

fn show(violation: &Violation) {
    println!("  VIOLATED: {}", violation.what);
    let lines = violation.trace.iter().zip(1..);
    lines.for_each(|(line, number)| println!("  {number:>4}. {line}"));
    if !violation.way.is_empty() {
        println!("        and if all goes well from there on:");
        violation.way.iter().for_each(|line| println!("        {line}"));
    }
}
