//! Deliberate bugs, hunted one after the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sim::bugs::Bug;
use crate::sim::{Recipe, Simulator};

/// How a bug was found.
struct Found {
    schedules: u64,
    rule: String,
}

/// Hunts all bugs, or one, and prints the table. Whether all were found.
pub fn all(within: u64, only: Option<Bug>, threads: usize) -> bool {
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| only.is_none_or(|only| only == *bug)).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let simulator = Simulator::new();
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = hunt(&simulator, *bug, within);
            found.lock().unwrap().push((*bug as usize, *bug, result));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(place, _, _)| *place);
    println!("| bug | what is wrong | found after | by the rule |\n|---|---|---:|---|");
    for (_, bug, result) in &found {
        match result {
            Some(Found { schedules, rule }) => println!("| `{bug}` | {} | {schedules} | {rule} |", bug.words()),
            None => println!("| `{bug}` | {} | not within {within} | |", bug.words()),
        }
    }
    let missed = found.iter().filter(|(_, _, result)| result.is_none()).count();
    println!("\n{} bugs, {} found within {within} schedules", found.len(), found.len() - missed);
    missed == 0
}

/// The first seed that fails with the bug, and does not without it.
fn hunt(simulator: &Simulator, bug: Bug, within: u64) -> Option<Found> {
    (0..within).find_map(|seed| {
        let wrong = simulator.run(&Recipe { seed, bug: Some(bug), ..Recipe::default() }).wrong?;
        let innocent = simulator.run(&Recipe { seed, ..Recipe::default() }).wrong.is_none();
        innocent.then_some(Found { schedules: seed + 1, rule: wrong.rule })
    })
}
