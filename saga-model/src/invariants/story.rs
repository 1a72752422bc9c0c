//! The rule about domain events: what an order's events tell, in sequence, is one of the promised stories.
//!
//! The stories of a definition are a regular language, read here by a small non-deterministic automaton, since
//! steps without events, skipped steps and the moment of an operator's cancel do not show:
//!
//! ```text
//! started (step.succeeded)* [confirmed (step.succeeded)*]                    all the way
//! started (step.succeeded)* [confirmed ...] [step.failed] undone* cancelled  turned back anywhere,
//!                                                     `undone` from the step in hand down to the first
//! ```

use std::collections::BTreeSet;

use super::ensure;
use crate::definition::{Definition, StepClass};
use crate::history::Row;
use crate::state::{OrderStatus, Phase, Saga};

/// How far a story may have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum At {
    Start,
    /// The steps before this one are done.
    Forward(usize),
    /// The pivot has succeeded, and the confirmation stands next.
    Confirming(usize),
    /// Turned back; only steps below this one can still be undone.
    Turned(usize),
    Cancelled,
}

/// INV-11.
pub(super) fn is_told(definition: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let topics: Vec<&str> = rows.iter().flat_map(|row| &row.data.emit).map(|event| event.topic.as_str()).collect();
    let mut reached = closure(definition, [At::Start].into());
    for (place, topic) in topics.iter().enumerate() {
        let next = reached.iter().flat_map(|at| after(definition, *at, topic)).collect();
        reached = closure(definition, next);
        ensure(!reached.is_empty(), || format!("{topic} may not stand at {place} of {topics:?}"))?;
    }
    let count = definition.blueprint().steps.len();
    let at_end = |at: &At| match (saga.phase, saga.order, at) {
        (Phase::Completed, _, at) => *at == At::Forward(count),
        (Phase::Compensated | Phase::Closing, _, at) | (Phase::Resolved, OrderStatus::Cancelled, at) => {
            *at == At::Cancelled
        }
        (Phase::Resolved, _, At::Forward(_) | At::Turned(_)) => true,
        (Phase::Resolved, _, At::Start | At::Confirming(_) | At::Cancelled) => false,
        (Phase::Forward | Phase::Unwinding, _, at) => !matches!(at, At::Start | At::Confirming(_)),
    };
    ensure(reached.iter().any(at_end), || format!("{:?} after {topics:?}", saga.phase))
}

/// Where `topic` leads from `at`.
fn after(definition: &Definition, at: At, topic: &str) -> Vec<At> {
    let (steps, events) = (&definition.blueprint().steps, &definition.blueprint().events);
    let is = |event: &Option<String>| event.as_deref() == Some(topic);
    match at {
        At::Start => Vec::from_iter(is(&events.started).then_some(At::Forward(0))),
        At::Confirming(next) => Vec::from_iter(is(&events.confirmed).then_some(At::Forward(next))),
        At::Forward(next) => {
            let Some(step) = steps.get(next) else { return Vec::new() };
            let done = is(&step.events.succeeded).then_some(match step.class {
                StepClass::Pivot => At::Confirming(next + 1),
                StepClass::Undoable | StepClass::Retriable => At::Forward(next + 1),
            });
            let failed = (step.undoable() && is(&step.events.failed)).then_some(At::Turned(next + 1));
            done.into_iter().chain(failed).collect()
        }
        At::Turned(below) => {
            let undone = (0..below).filter(|step| steps[*step].undoable() && is(&steps[*step].events.undone));
            let cancelled = is(&events.cancelled).then_some(At::Cancelled);
            undone.map(At::Turned).chain(cancelled).collect()
        }
        At::Cancelled => Vec::new(),
    }
}

/// With all that may have happened without an event.
fn closure(definition: &Definition, mut reached: BTreeSet<At>) -> BTreeSet<At> {
    let mut fresh: Vec<At> = reached.iter().copied().collect();
    while let Some(at) = fresh.pop() {
        for silent in silently(definition, at) {
            if reached.insert(silent) {
                fresh.push(silent);
            }
        }
    }
    reached
}

fn silently(definition: &Definition, at: At) -> Vec<At> {
    let (steps, events) = (&definition.blueprint().steps, &definition.blueprint().events);
    match at {
        At::Start => Vec::from_iter(events.started.is_none().then_some(At::Forward(0))),
        At::Confirming(next) => Vec::from_iter(events.confirmed.is_none().then_some(At::Forward(next))),
        At::Forward(next) => {
            // An operator or the deadline turns it back at any step; the one in hand may have had an effect.
            let turned = [At::Turned((next + 1).min(steps.len()))];
            let passed = steps.get(next).and_then(|step| match step.class {
                StepClass::Retriable => Some(At::Forward(next + 1)), // told or not, done or skipped
                StepClass::Pivot => step.events.succeeded.is_none().then_some(At::Confirming(next + 1)),
                StepClass::Undoable => step.events.succeeded.is_none().then_some(At::Forward(next + 1)),
            });
            turned.into_iter().chain(passed).collect()
        }
        At::Turned(_) => Vec::from_iter(events.cancelled.is_none().then_some(At::Cancelled)),
        At::Cancelled => Vec::new(),
    }
}
