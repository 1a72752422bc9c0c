//! Timers: an attempt that nobody answered, the end of a backoff, the saga's deadline. The shell decides when;
//! one that is spurious (disarmed, of an earlier attempt, too early) changes nothing.

use super::draft::{Draft, Head};
use super::{Advance, Ignored, reply};
use crate::definition::Definition;
use crate::event::Actor;
use crate::history::RowKind;
use crate::micros::Micros;
use crate::state::{AttemptFailure, CommandRef, Deadline, Failure, Flight, Phase, Question, Saga, WakeUp};

const SPURIOUS: Advance = Advance::Ignored(Ignored::SpuriousTimer);

/// The worker's group took the command, and no reply came in time.
pub(super) fn no_answer(
    definition: &Definition,
    saga: &Saga,
    command: CommandRef,
    actor: &Actor,
    now: Micros,
) -> Advance {
    match saga.wake_up(definition) {
        Some(WakeUp::Reply { command: sent, .. }) if sent == command && saga.hold.is_none() => {}
        Some(WakeUp::Reply { .. } | WakeUp::Backoff { .. }) | None => return SPURIOUS,
    }
    let question = Question { step: command.step, kind: command.kind };
    let mut draft = Draft::of(definition, saga, reply::failed_head(command, true), now);
    let error = Draft::unanswered(command.attempt);
    draft.data.error = Some(error.clone());
    draft.attempt_failed(question, command, AttemptFailure::NoAnswer, error);
    draft.drive();
    draft.finish(actor)
}

/// The backoff after `command` is over.
pub(super) fn backoff_over(
    definition: &Definition,
    saga: &Saga,
    command: CommandRef,
    actor: &Actor,
    now: Micros,
) -> Advance {
    match saga.wake_up(definition) {
        Some(WakeUp::Backoff { command: failed, .. }) if failed == command && saga.hold.is_none() => {}
        Some(WakeUp::Reply { .. } | WakeUp::Backoff { .. }) | None => return SPURIOUS,
    }
    let next = CommandRef { attempt: command.attempt + 1, ..command };
    let mut draft = Draft::of(definition, saga, Head::about(RowKind::AttemptStarted, Some(next)), now);
    draft.data.kind = Some(command.kind);
    draft.end_backoff(Question { step: command.step, kind: command.kind });
    draft.drive();
    draft.finish(actor)
}

/// The saga's deadline has passed.
pub(super) fn deadline_passed(definition: &Definition, saga: &Saga, actor: &Actor, now: Micros) -> Advance {
    match saga.deadline {
        // A deadline that was moved by a pause is not the one that this timer was set for.
        Deadline::At(at) if at <= now && saga.phase == Phase::Forward && saga.hold.is_none() => {}
        Deadline::At(_) | Deadline::Held { .. } | Deadline::None => return SPURIOUS,
    }
    let head = Head::about(RowKind::DeadlinePassed, saga.command(definition));
    let mut draft = Draft::of(definition, saga, head, now);
    draft.turn_back(Failure::new("DEADLINE_EXCEEDED", "the saga's deadline passed before its pivot had succeeded"));
    draft.drive();
    draft.finish(actor)
}

impl Draft<'_> {
    /// The next attempt of `question` is due now.
    pub(super) fn end_backoff(&mut self, question: Question) {
        self.course_mut(question).flight = Flight::Backoff { until: None };
    }
}
