//! Rules about a state alone.

use super::ensure;
use crate::definition::{Definition, StepIndex};
use crate::state::{Course, Deadline, Flight, Hold, Kind, Phase, Question, Saga, StepStatus, Undo, UndoStatus};

/// The courses of a saga, each with its question.
fn courses<'a>(definition: &'a Definition, saga: &'a Saga) -> impl Iterator<Item = (Question, &'a Course)> {
    definition.steps().flat_map(|(step, _)| {
        let questions = [Question { step, kind: Kind::Action }, Question { step, kind: Kind::Compensate }];
        questions.into_iter().filter_map(|question| Some((question, saga.course(question)?)))
    })
}

fn name(definition: &Definition, step: StepIndex) -> &str {
    &definition.step(step).name
}

/// INV-1.
pub(super) fn nothing_stands(definition: &Definition, saga: &Saga) -> Result<(), String> {
    if saga.phase != Phase::Compensated {
        return Ok(());
    }
    for (index, _) in definition.steps().filter(|(_, def)| def.undoable()) {
        let step = saga.step(index);
        let undone = step.undo.as_ref().map(|undo| undo.status) == Some(UndoStatus::Succeeded);
        let stands = match step.status {
            StepStatus::Pending => false,
            StepStatus::Rejected => step.unanswered && !undone,
            StepStatus::Succeeded | StepStatus::Unknown | StepStatus::Running | StepStatus::Skipped => !undone,
        };
        ensure(!stands, || format!("{} is {:?} and was not undone", name(definition, index), step.status))?;
    }
    Ok(())
}

/// INV-2.
pub(super) fn all_done(definition: &Definition, saga: &Saga) -> Result<(), String> {
    if saga.phase != Phase::Completed {
        return Ok(());
    }
    definition.steps().try_for_each(|(index, _)| {
        let step = saga.step(index);
        let done = matches!(step.status, StepStatus::Succeeded | StepStatus::Skipped) && step.undo.is_none();
        ensure(done, || format!("{} is {:?}", name(definition, index), step.status))
    })
}

/// INV-4.
pub(super) fn one_wake_up(definition: &Definition, saga: &Saga) -> Result<(), String> {
    let open = saga.question(definition);
    let in_flight: Vec<Question> = courses(definition, saga)
        .filter(|(_, course)| course.flight != Flight::None)
        .map(|(question, _)| question)
        .collect();
    ensure(in_flight.iter().all(|question| Some(*question) == open), || {
        format!("in flight is {in_flight:?}, the open question is {open:?}")
    })?;
    let timed_backoff = open
        .and_then(|question| saga.course(question))
        .is_some_and(|course| matches!(course.flight, Flight::Backoff { until: Some(_) }));
    if saga.phase.is_final() {
        ensure(in_flight.is_empty() && saga.hold.is_none(), || "it has ended, and something is in flight".to_owned())
    } else if saga.hold.is_none() {
        ensure(saga.wake_up(definition).is_some(), || "nothing will wake it".to_owned())
    } else {
        ensure(!timed_backoff, || "it is held, and a backoff has a time".to_owned())
    }
}

/// INV-9.
pub(super) fn within_budgets(definition: &Definition, saga: &Saga) -> Result<(), String> {
    courses(definition, saga).try_for_each(|(question, course)| {
        let budget = match question.kind {
            Kind::Action => definition.attempts(question.step),
            Kind::Compensate => definition.compensation_attempts(question.step),
        };
        let fits = course.budget_used <= budget
            && course.budget_used <= course.attempts
            && course.answered_attempt <= course.attempts
            && (course.attempts > 0 || course.flight == Flight::None)
            && (course.attempts > 0) == course.started_at.is_some()
            && course.round >= 1
            && course.past.iter().zip(course.past.iter().skip(1)).all(|(one, next)| one.round + 1 == next.round)
            && course.past.last().is_none_or(|past| past.round + 1 == course.round);
        ensure(fits, || format!("{:?} of {}: {course:?}", question.kind, name(definition, question.step)))
    })
}

/// INV-13.
pub(super) fn deadline_fits(definition: &Definition, saga: &Saga) -> Result<(), String> {
    let runs = saga.phase == Phase::Forward && !saga.pivot_stands(definition);
    let fits = match saga.deadline {
        Deadline::None => !runs,
        Deadline::At(_) => runs && saga.hold.is_none(),
        Deadline::Held { left } => runs && !saga.hold.is_none() && left >= 0,
    };
    ensure(fits, || format!("{:?}, {:?}: {:?}", saga.phase, saga.hold, saga.deadline))
}

/// INV-14.
pub(super) fn steps_fit(definition: &Definition, saga: &Saga) -> Result<(), String> {
    ensure(saga.steps.len() == definition.blueprint().steps.len(), || "it has other steps".to_owned())?;
    let in_hand = saga.question(definition);
    for (index, def) in definition.steps() {
        let step = saga.step(index);
        let place = in_hand.map(|question| index.cmp(&question.step));
        let closing = saga.phase == Phase::Closing && def.closing;
        let status = match (saga.phase, place) {
            (Phase::Forward, Some(std::cmp::Ordering::Greater)) => step.status == StepStatus::Pending,
            (Phase::Forward, _) => step.status != StepStatus::Unknown || !def.undoable(),
            (_, _) => step.status != StepStatus::Running || closing,
        };
        let undo = match (saga.phase, &step.undo) {
            (Phase::Forward | Phase::Completed, undo) => undo.is_none(),
            (Phase::Unwinding, undo) => undo.is_none() || def.undoable(),
            (_, undo) => undo.is_none() || def.undoable() && !undo.as_ref().is_some_and(Undo::is_open),
        };
        let ended = step.action.finished_at.is_some();
        let times = match step.status {
            StepStatus::Pending | StepStatus::Running => !ended,
            StepStatus::Succeeded | StepStatus::Rejected | StepStatus::Unknown | StepStatus::Skipped => ended,
        };
        ensure(status && undo && times, || {
            format!("{:?} with {} {:?}, undo {:?}", saga.phase, def.name, step.status, step.undo)
        })?;
    }
    let turned = match saga.phase {
        Phase::Forward => {
            // Refused while held: known already.
            saga.failure.is_none() || in_hand.is_some_and(|q| saga.step(q.step).status == StepStatus::Rejected)
        }
        Phase::Completed => saga.failure.is_none(),
        Phase::Unwinding | Phase::Closing | Phase::Compensated | Phase::Resolved => saga.failure.is_some(),
    };
    ensure(turned, || format!("{:?} with failure {:?}", saga.phase, saga.failure))?;
    match &saga.hold {
        Hold::Stuck(stuck) => ensure(stuck.step == in_hand.map(|q| q.step), || format!("{stuck:?}, not in hand")),
        Hold::None | Hold::Paused { .. } => Ok(()),
    }
}
