//! Broken twins: what is searched for must be findable. Each is the same model with one duty left out.

use saga_model::advance::{Advance, advance};
use saga_model::definition::StepIndex;
use saga_model::event::{Actor, Event};
use saga_model::history::Row;
use saga_model::state::{Kind, Outcome, Saga, StepStatus, WakeUp};
use saga_model::{Definition, Micros};

use super::stimulus::{Stimulus, event_of};
use super::worker::{Answer, Command};

/// A duty that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Twin {
    /// A worker that has undone something forgets that it was ever asked.
    NoTombstone,
    /// A worker that is asked to undo what it never did answers, and does not remember.
    NoMemoryOfAnEarlyUndo,
    /// A worker that has refused does not remember, and decides anew.
    ForgottenRejected,
    /// A refusal leaves an earlier attempt of the same question free to succeed.
    RefusesWithoutSettling,
    /// A compensation leaves an attempt in progress free to succeed.
    UndoesWithoutSettling,
    /// An engine that takes an unknown outcome for none: it skips the compensation.
    UndoesOnlyWhatIsKnownDone,
}

impl Twin {
    pub const ALL: [Self; 6] = [
        Self::NoTombstone,
        Self::NoMemoryOfAnEarlyUndo,
        Self::ForgottenRejected,
        Self::RefusesWithoutSettling,
        Self::UndoesWithoutSettling,
        Self::UndoesOnlyWhatIsKnownDone,
    ];

    /// The definition in which each shows soonest.
    pub const DEFINITION: &str = "UP";

    pub fn name(self) -> &'static str {
        match self {
            Self::NoTombstone => "no tombstone",
            Self::NoMemoryOfAnEarlyUndo => "no memory of an undo that came first",
            Self::ForgottenRejected => "a forgotten REJECTED",
            Self::RefusesWithoutSettling => "a refusal that does not settle an earlier attempt",
            Self::UndoesWithoutSettling => "an undo that does not settle an attempt in progress",
            Self::UndoesOnlyWhatIsKnownDone => "undo only what is known done",
        }
    }
}

/// Whether an engine that undoes only what is known done skips the compensation of this step.
pub fn is_skipped(saga: &Saga, step: StepIndex) -> bool {
    saga.step(step).status == StepStatus::Unknown
}

/// The real machine; as a twin, it takes compensations of unknown outcomes for done without asking anybody.
pub fn machine(
    definition: &Definition,
    twin: Option<Twin>,
    saga: Option<&Saga>,
    event: &Event,
    actor: &Actor,
    now: Micros,
) -> Result<(Saga, Vec<Row>), Advance> {
    let (mut saga, mut rows) = match advance(definition, saga, event, actor, now) {
        Advance::Changed(made) => (made.saga, vec![made.row]),
        other => return Err(other),
    };
    while let (Some(Twin::UndoesOnlyWhatIsKnownDone), Some(WakeUp::Reply { command, .. })) =
        (twin, saga.wake_up(definition))
        && command.kind == Kind::Compensate
        && is_skipped(&saga, command.step)
    {
        let to = Command { kind: command.kind, round: command.round as u8, attempt: command.attempt as u8 };
        let answer = Answer { to, outcome: Outcome::Succeeded, undone: false };
        let reply = event_of(definition, &saga, Stimulus::Reply { step: command.step.0, answer });
        match advance(definition, Some(&saga), &reply, &Actor::Worker, now) {
            Advance::Changed(made) => {
                saga = made.saga;
                rows.push(made.row);
            }
            other => return Err(other),
        }
    }
    Ok((saga, rows))
}
