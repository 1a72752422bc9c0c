//! What holds in every state of every saga, by number. Tests, the simulator and an audit of a live database
//! check the same functions.

mod history;
mod order;
mod state;
mod story;

use std::fmt;

use crate::definition::Definition;
use crate::history::Row;
use crate::state::Saga;

/// A rule that no saga breaks.
pub struct Invariant {
    /// Fixed for ever: INV-1, INV-2, …
    pub number: u8,
    /// The rule, as a sentence.
    pub name: &'static str,
    check: Check,
}

/// What a rule looks at. It answers with what is wrong.
enum Check {
    State(fn(&Definition, &Saga) -> Result<(), String>),
    History(fn(&Definition, &[Row]) -> Result<(), String>),
    Both(fn(&Definition, &Saga, &[Row]) -> Result<(), String>),
}

/// A rule that a saga breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub number: u8,
    pub name: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{} ({}): {}", self.number, self.name, self.what)
    }
}

const fn invariant(number: u8, name: &'static str, check: Check) -> Invariant {
    Invariant { number, name, check }
}

/// All of them.
pub const ALL: [Invariant; 15] = [
    invariant(1, "COMPENSATED: no effect of an undoable step stands", Check::State(state::nothing_stands)),
    invariant(2, "COMPLETED: every step is SUCCEEDED or SKIPPED", Check::State(state::all_done)),
    invariant(3, "no undoable ACTION is sent after the direction switch", Check::History(history::no_way_forward)),
    invariant(
        4,
        "a live saga without hold has exactly one wake-up, any other at most one command in flight",
        Check::State(state::one_wake_up),
    ),
    invariant(5, "RESOLVED only with a waiver or by resolve", Check::Both(history::resolved_by_hand)),
    invariant(6, "the state is the fold of the history", Check::Both(history::folds)),
    invariant(7, "seq is gapless from 1, and the revision is the last", Check::Both(history::gapless)),
    invariant(8, "final phases absorb", Check::Both(history::final_absorbs)),
    invariant(9, "attempts stay within budgets", Check::State(state::within_budgets)),
    invariant(10, "steps are undone in strict reverse order", Check::Both(history::reverse_order)),
    invariant(11, "the domain events are one of the sequences that are promised", Check::Both(story::is_told)),
    invariant(
        12,
        "the order goes CREATED, CONFIRMED, CANCELLED, the last step of it only by compensate",
        Check::Both(order::goes_its_way),
    ),
    invariant(
        13,
        "the deadline runs before the pivot, stands still while held, and is none after",
        Check::State(state::deadline_fits),
    ),
    invariant(14, "the steps fit the phase", Check::State(state::steps_fit)),
    invariant(15, "a late reply is recorded once", Check::Both(history::late_once)),
];

/// Every rule about the state alone that this saga breaks.
pub fn check_state(definition: &Definition, saga: &Saga) -> Vec<Violation> {
    collect(|check| match check {
        Check::State(check) => Some(check(definition, saga)),
        Check::History(_) | Check::Both(_) => None,
    })
}

/// Every rule that this saga with its whole history breaks.
pub fn check(definition: &Definition, saga: &Saga, rows: &[Row]) -> Vec<Violation> {
    collect(|check| match check {
        Check::State(check) => Some(check(definition, saga)),
        Check::History(check) => Some(check(definition, rows)),
        Check::Both(check) => Some(check(definition, saga, rows)),
    })
}

fn collect(run: impl Fn(&Check) -> Option<Result<(), String>>) -> Vec<Violation> {
    let broken = |rule: &Invariant| match run(&rule.check) {
        Some(Err(what)) => Some(Violation { number: rule.number, name: rule.name, what }),
        Some(Ok(())) | None => None,
    };
    ALL.iter().filter_map(broken).collect()
}

/// `Err(what)` unless `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
