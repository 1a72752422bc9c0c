//! A saga as text that people read: for the command line, and for snapshots.

use std::fmt::{self, Formatter};

use crate::definition::Definition;
use crate::json::RawJson;
use crate::state::{Failure, Saga};
use crate::view::{CompensationView, Parts, SagaView, StepView, Taken, WaitingKind};

/// A saga as a tree: what it is, its steps with their compensations, what it waits for.
pub struct Tree<'v>(pub &'v SagaView<'v>);

/// The tree of a saga of which only the state is at hand.
pub fn state(definition: &Definition, saga: &Saga) -> String {
    match RawJson::of(&serde_json::Map::new()) {
        Ok(input) => Tree(&SagaView::of(Parts {
            definition,
            saga,
            input: &input,
            business_key: None,
            trace_id: "",
            taken: Taken::Unknown,
        }))
        .to_string(),
        Err(error) => error.to_string(), // an empty object can be written
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let view = self.0;
        let (definition, status) = (&view.definition, word(&view.status));
        writeln!(
            out,
            "{}  {} v{}  {status}, revision {}",
            view.id, definition.name, definition.version, view.revision
        )?;
        writeln!(out, "  started {}, changed {}", view.created_at.0, view.updated_at.0)?;
        if let Some(deadline) = view.deadline {
            writeln!(out, "  deadline {}", deadline.0)?;
        }
        if let Some(failure) = &view.failure {
            writeln!(out, "  turned back at {}: {}: {}", failure.step, failure.code, failure.message)?;
        }
        if let Some(stuck) = &view.stuck {
            let (step, since, cause) = (&stuck.step, stuck.since.0, word(&stuck.cause));
            writeln!(out, "  stuck at {step} since {since}: {cause}: {}", stuck.message)?;
        }
        let width = view.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for (place, step) in view.steps.iter().enumerate() {
            let last = place + 1 == view.steps.len();
            write_step(out, step, width, last)?;
        }
        if let Some(waiting) = &view.waiting_for {
            let what = match waiting.kind {
                WaitingKind::Reply => "a reply",
                WaitingKind::Retry => "the next attempt",
                WaitingKind::Operator => "an operator",
                WaitingKind::Worker => "a worker to take the command",
            };
            let until = waiting.until.map_or_else(String::new, |until| format!(" until {}", until.0));
            writeln!(out, "  waits for {what} ({}) since {}{until}", waiting.step, waiting.since.0)?;
        }
        if let Some(actions) = view.available_actions.as_ref().filter(|actions| !actions.is_empty()) {
            let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
            writeln!(out, "  possible: {}", actions.join(", "))?;
        }
        Ok(())
    }
}

fn write_step(out: &mut Formatter<'_>, step: &StepView<'_>, width: usize, last: bool) -> fmt::Result {
    let (branch, trunk) = if last { ("`-", "  ") } else { ("|-", "| ") };
    write!(out, "  {branch} {:width$}  {}", step.name, word(&step.status))?;
    write_course(out, Some(step.round), step.attempts, step.error.as_deref())?;
    if let Some(CompensationView { status, attempts, error, .. }) = &step.compensation {
        write!(out, "  {trunk}    undo {}", word(status))?;
        write_course(out, None, *attempts, error.as_deref())?;
    }
    Ok(())
}

fn write_course(out: &mut Formatter<'_>, round: Option<u32>, attempts: u32, error: Option<&Failure>) -> fmt::Result {
    if let Some(round) = round.filter(|round| *round > 1) {
        write!(out, ", round {round}")?;
    }
    match attempts {
        0 => {}
        1 => write!(out, ", 1 attempt")?,
        n => write!(out, ", {n} attempts")?,
    }
    if let Some(Failure { code, message }) = error {
        write!(out, " ({code}: {message})")?;
    }
    writeln!(out)
}

/// The public word for a status or a cause.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(), // a status can be written
    }
}
