//! The simulator, as far as it is quick; `deploy/test` runs many more schedules: docs/simulation.md.

#[path = "sim/mod.rs"]
#[allow(dead_code, unused_imports)] // the program uses more of it
mod sim;

use sim::bugs::Bug;
use sim::{Recipe, Simulator, shrink};

#[test]
fn all_holds_in_some_worlds() {
    let simulator = Simulator::new();
    for seed in 0..400 {
        let outcome = simulator.run(&Recipe { seed, ..Recipe::default() });
        assert_eq!(outcome.wrong, None, "seed {seed}");
    }
}

#[test]
fn a_seed_is_one_run() {
    let (one, other) = (Simulator::new(), Simulator::new());
    for seed in 0..60 {
        let recipe = Recipe { seed, told: true, ..Recipe::default() };
        let outcome = one.run(&recipe);
        assert_eq!(outcome, other.run(&recipe), "seed {seed} ran differently");
        assert_eq!(outcome.trace, one.run(&Recipe { told: false, ..recipe }).trace, "seed {seed} minds being watched");
    }
}

#[test]
fn a_bug_is_found_and_its_story_is_made_shorter() {
    let simulator = Simulator::new();
    let fails = |seed: &u64| {
        let recipe = Recipe { seed: *seed, bug: Some(Bug::FenceDropped), ..Recipe::default() };
        simulator.run(&recipe).wrong.is_some()
    };
    let seed = (0..20_000).find(fails).expect("a dropped fence is found");
    let whole = Recipe { seed, bug: Some(Bug::FenceDropped), ..Recipe::default() };
    let (small, outcome) = shrink(&simulator, &whole);
    assert!(outcome.faults.len() <= simulator.run(&whole).faults.len());
    assert_eq!(simulator.run(&small).wrong, outcome.wrong, "the shorter story is told again by its recipe");
}

#[test]
fn the_table_of_bugs_is_whole() {
    let read = |page| std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../").to_owned() + page).unwrap();
    let table = read("docs/simulation.md");
    for bug in Bug::ALL {
        assert!(table.contains(&format!("| `{bug}` | {} |", bug.words())), "docs/simulation.md says nothing of {bug}");
    }
    let bugs = Bug::ALL.len();
    let printed = format!("{bugs} bugs, {bugs} found within");
    for (page, words) in [
        ("docs/simulation.md", &printed),
        ("README.md", &printed),
        ("docs/promises.md", &format!("{bugs} deliberate bugs, each found")),
    ] {
        assert!(read(page).contains(words), "{page} counts other than {bugs} bugs");
    }
}
