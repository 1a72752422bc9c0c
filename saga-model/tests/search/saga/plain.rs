//! What of a saga matters: two that agree in it behave alike for ever.

use saga_model::Micros;
use saga_model::definition::{Definition, StepIndex};
use saga_model::micros::Millis;
use saga_model::state::{
    CommandRef, Course, Deadline, Failure, Flight, Hold, Kind, PastRound, Phase, Question, Recorded, Saga, SagaFailure,
    StepStatus,
};

use super::live::unanswered;
use super::twin::Twin;

/// The saga without the time of day, what is said to people, its revision, and how it came to what is settled. The
/// machine compares no times but the deadline, and that is given to it when it has passed. A question that was left is
/// never asked again in the same round, so of its course only that it was begun is kept; of late replies, nothing.
///
/// That the machine does not tell such sagas apart is checked wherever two are taken for one
/// ([`super::page_checks::alike`]).
pub fn plain(definition: &Definition, saga: &Saga) -> Saga {
    let mut saga = saga.clone();
    let open = unanswered(definition, &saga);
    saga.revision = 0;
    saga.created_at = Micros(0);
    saga.updated_at = Micros(0);
    saga.ignored.clear();
    saga.deadline = match saga.deadline {
        Deadline::None => Deadline::None,
        Deadline::At(_) => Deadline::At(Micros(0)),
        Deadline::Held { .. } => Deadline::Held { left: 0 },
    };
    match &mut saga.hold {
        Hold::None => {}
        Hold::Paused { since } => *since = Micros(0),
        Hold::Stuck(stuck) => {
            stuck.since = Micros(0);
            stuck.message.clear();
        }
    }
    if let Some(failure) = &mut saga.failure {
        *failure = SagaFailure { step: StepIndex(0), why: Failure::new("", "") };
    }
    for (step, index) in saga.steps.iter_mut().zip((0..).map(StepIndex)) {
        let is_open = |kind| open == Some(Question { step: index, kind });
        // Refused while held: whether it is undone is decided when the saga turns back.
        let will_turn = saga.phase == Phase::Forward && step.status == StepStatus::Rejected;
        if !is_open(Kind::Action) && !will_turn {
            step.unanswered = false;
        }
        plain_course(&mut step.action, is_open(Kind::Action));
        if let Some(undo) = &mut step.undo {
            undo.undone = None;
            plain_course(&mut undo.course, is_open(Kind::Compensate));
        }
    }
    saga
}

fn plain_course(course: &mut Course, open: bool) {
    for past in &mut course.past {
        *past = PastRound { attempts: past.attempts.min(1), recorded: Recorded::default(), ..*past };
    }
    let past = std::mem::take(&mut course.past);
    let begun = course.attempts.min(1);
    *course = if open {
        let flight = match course.flight {
            Flight::None => Flight::None,
            Flight::Sent { .. } => Flight::Sent { at: Micros(0) },
            Flight::Backoff { until } => Flight::Backoff { until: until.map(|_| Micros(0)) },
        };
        Course {
            attempts: course.attempts,
            budget_used: course.budget_used,
            answered_attempt: course.answered_attempt,
            recorded: course.recorded,
            flight,
            past,
            ..Course::pending(course.round)
        }
    } else {
        Course { attempts: begun, past, ..Course::pending(course.round) }
    };
}

/// Every command of a saga that was ever sent, read off its state.
pub fn sent(definition: &Definition, saga: &Saga, twin: Option<Twin>) -> Vec<CommandRef> {
    let mut sent = Vec::new();
    let mut all = |step: StepIndex, kind, course: &Course| {
        let rounds = course.past.iter().map(|past| (past.round, past.attempts));
        for (round, attempts) in rounds.chain([(course.round, course.attempts)]) {
            sent.extend((1..=attempts).map(|attempt| CommandRef { step, kind, round, attempt }));
        }
    };
    for (step, _) in definition.steps() {
        let state = saga.step(step);
        all(step, Kind::Action, &state.action);
        let skipped = twin == Some(Twin::UndoesOnlyWhatIsKnownDone) && super::twin::is_skipped(saga, step);
        if let Some(undo) = state.undo.as_ref().filter(|_| !skipped) {
            all(step, Kind::Compensate, &undo.course);
        }
    }
    sent
}

/// A span that is longer than any search goes on, so that a deadline passes only when the search says so.
pub const LONG: Millis = Millis(1_000_000_000);
