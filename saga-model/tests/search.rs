//! Model checks, as far as they are quick. The thorough ones: `cargo run --release -p saga-model --example model-check`.

// What searches the machine is a program: unlike the machine it has threads, clocks and sets.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "search/mod.rs"]
mod search;
#[path = "support/definitions.rs"]
#[allow(dead_code)] // the other tests use more of it
mod short;

use std::sync::atomic::Ordering::Relaxed;

use search::explore::{Found, Limits, Progress, explore};
use search::model::{Model, Steps, Wrong};
use search::{leases, saga, stock};

const ALL_STATES: Limits = Limits { threads: 2, states: u64::MAX };

fn all_states(model: &impl Model) -> Found {
    explore(model, ALL_STATES, &Progress::default())
}

/// Searches everything and finds nothing wrong. There are at least so many states: it did search.
fn holds(model: &impl Model, at_least: u64) {
    let found = all_states(model);
    if let Some(violation) = found.violation {
        panic!("{}\n{}\nand then\n{}", violation.what, violation.trace.join("\n"), violation.way.join("\n"));
    }
    assert!(found.complete);
    assert!(found.states >= at_least, "{} states in {:?} are fewer than there were", found.states, found.took);
}

/// Finds what is wrong, by a short way.
fn refuted(twin: &str, model: &impl Model, at_most: usize, what: &str) {
    let found = explore(model, Limits { threads: 1, ..ALL_STATES }, &Progress::default());
    let violation = found.violation.unwrap_or_else(|| panic!("{twin} is not refuted"));
    let trace = violation.trace.join("\n");
    assert!(violation.what.contains(what), "{}\n{trace}", violation.what);
    assert!(violation.trace.len() <= at_most, "{trace}");
    assert!(!violation.trace.iter().any(String::is_empty), "{trace}");
}

fn one_saga(name: &str, verbs: u8, engine_failures: u8, twin: Option<saga::Twin>) -> saga::World {
    let definition = saga::definitions::named(name).unwrap();
    saga::World::new(definition, saga::Trouble { verbs, engine_failures, twin }).unwrap()
}

#[test]
fn one_order_with_one_verb_at_any_moment() {
    let world = one_saga("order-fulfilment", 1, 0, None);
    holds(&world, 250_000);
    assert!(world.pages() > 4_000, "{} sagas behave differently", world.pages());
}

#[test]
fn other_definitions() {
    for name in saga::definitions::ALL {
        holds(&one_saga(name, 0, 1, None), 5_000);
    }
}

#[test]
fn workers_and_engines_that_forget_a_duty_are_refuted() {
    use saga::Twin;
    let stands = "the saga is COMPENSATED, and the effect of u0 stands";
    for twin in Twin::ALL {
        let at_most = match twin {
            Twin::NoTombstone | Twin::NoMemoryOfAnEarlyUndo => 5,
            Twin::ForgottenRejected => 5,
            Twin::RefusesWithoutSettling => 6,
            Twin::UndoesWithoutSettling => 7,
            Twin::UndoesOnlyWhatIsKnownDone => 3,
        };
        refuted(twin.name(), &one_saga(Twin::DEFINITION, 0, 0, Some(twin)), at_most, stands);
    }
}

#[test]
fn a_shard_changes_hands() {
    let size = leases::Size { sagas: 1, rows: 2, takeovers: 2, crashes: 1, doubts: 1, repeats: 1 };
    holds(&leases::World::new(size, None).unwrap(), 100_000);
}

#[test]
fn engines_that_break_a_rule_are_refuted() {
    use leases::Twin;
    for twin in Twin::ALL {
        let (at_most, what) = match twin {
            Twin::NoFence => (4, "an owner of epoch 1 that was deposed (the epoch is 2) has committed"),
            Twin::WatermarkOneTooFar => (7, "the marks say that row 1 has left, and it has not"),
            Twin::PublishBeforeCommit => (4, "the event of row 1 is published, and that row is not stored"),
            Twin::TakeoverWithoutResend => (5, "nothing more happens, and not all is done"),
            Twin::TakeoverResendsTheAnswered => (9, "the command of row 1 of saga 0 is sent"),
            Twin::OffsetAheadOfEffect => (13, "nothing more happens, and not all is done"),
        };
        refuted(twin.name(), &leases::World::new(twin.size(), Some(twin)).unwrap(), at_most, what);
    }
}

#[test]
fn redis_forgets_while_workers_die() {
    let size = stock::Size { orders: 2, on_hand: 1, flushes: 1, restarts: 0, pauses: 0, crashes: 0 };
    holds(&stock::World::new(size, None).unwrap(), 30_000);
    let size = stock::Size { orders: 1, pauses: 1, crashes: 1, ..size };
    holds(&stock::World::new(size, None).unwrap(), 5_000);
}

#[test]
fn stock_that_breaks_a_rule_is_refuted() {
    use stock::Twin;
    let lost = "1 are available, and the order is Refused";
    for twin in Twin::ALL {
        let (at_most, what) = match twin {
            Twin::NeitherCheck => (16, "1 are on hand, and 2 are reserved"),
            Twin::RebuildFromRedis => (17, lost),
            Twin::ReleaseNotRepeated => (20, lost),
            Twin::RefusesWithoutSettling => (24, "was refused, and a unit is set apart for it"),
            Twin::OneRecordForTwoUnits => (33, lost),
            Twin::FlipsBlindly => (34, lost),
            Twin::NumberGivenTwice => (24, lost),
            Twin::NoRunId => (22, lost),
            Twin::NoGenerationCheck | Twin::NoTableCheck => panic!("{} breaks nothing", twin.name()),
        };
        refuted(twin.name(), &stock::World::new(twin.size(), Some(twin)).unwrap(), at_most, what);
    }
}

#[test]
fn of_the_two_guards_of_the_stock_either_is_enough() {
    for twin in stock::Twin::HARMLESS {
        let found = all_states(&stock::World::new(twin.size(), Some(twin)).unwrap());
        assert!(found.complete && found.violation.is_none(), "{}", twin.name());
    }
}

/// Two counters that must not both be at their end, for the search itself.
struct Counters {
    end: u8,
    broken: bool,
}

impl Model for Counters {
    type State = [u8; 2];
    type Action = usize;

    fn start(&self) -> [u8; 2] {
        [0, 0]
    }

    fn next(&self, state: &[u8; 2], steps: &mut Steps<Self>) {
        for counter in [0, 1] {
            let mut next = *state;
            next[counter] += 1;
            if next[counter] <= self.end {
                steps.go(counter, next);
            } else if self.broken && state[0] == state[1] {
                steps.broken(counter, "over the end".to_owned());
            }
        }
    }

    fn check(&self, state: &[u8; 2]) -> Result<(), Wrong> {
        match self.broken && *state == [7, 3] {
            true => Err(Wrong { what: "seven and three".to_owned(), way: vec!["nothing".to_owned()] }),
            false => Ok(()),
        }
    }

    fn tell(&self, from: &[u8; 2], action: usize) -> String {
        format!("{from:?} + {action}")
    }
}

#[test]
fn the_search_visits_every_state_once() {
    for threads in [1, 2, 3] {
        let progress = Progress::default();
        let limits = Limits { threads, states: u64::MAX };
        let found = explore(&Counters { end: 199, broken: false }, limits, &progress);
        assert_eq!((found.states, found.steps, found.depth), (40_000, 2 * 200 * 199, 398));
        assert!(found.complete && found.violation.is_none());
        assert_eq!((progress.states.load(Relaxed), progress.frontier.load(Relaxed)), (40_000, 0));
    }
}

#[test]
fn the_search_finds_the_shortest_way() {
    for end in [100, 255 / 2] {
        let violation = all_states(&Counters { end, broken: true }).violation.unwrap();
        assert_eq!((violation.what.as_str(), violation.trace.len()), ("seven and three", 10));
        assert_eq!(violation.way, ["nothing"]);
    }
    // A step that breaks a rule is the last of the way to it.
    let violation = all_states(&Counters { end: 2, broken: true }).violation.unwrap();
    assert_eq!((violation.what.as_str(), violation.trace.len()), ("over the end", 5));
    assert!(violation.trace[4].starts_with("[2, 2]"));
}

#[test]
fn the_search_ends_where_it_is_told_to() {
    let model = Counters { end: 199, broken: false };
    let found = explore(&model, Limits { states: 1_000, ..ALL_STATES }, &Progress::default());
    assert!(!found.complete && found.violation.is_none() && found.states < 10_000, "{}", found.states);
    let progress = Progress::default();
    progress.stop.store(true, Relaxed);
    let found = explore(&model, ALL_STATES, &progress);
    assert!(!found.complete && found.states == 1);
}
