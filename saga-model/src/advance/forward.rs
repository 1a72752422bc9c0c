//! Forward: an action succeeds, is refused, or is given up.

use super::draft::Draft;
use crate::json::RawJson;
use crate::state::{
    AttemptFailure, Deadline, Failure, Flight, Kind, OrderStatus, Phase, Question, SagaFailure, StepStatus, UndoStatus,
};

/// Nobody answered in time, or the answer was that nobody knows.
const STEP_TIMEOUT: &str = "STEP_TIMEOUT";
/// Every attempt failed cleanly.
const RETRIES_EXHAUSTED: &str = "RETRIES_EXHAUSTED";

impl Draft<'_> {
    /// Records that an action succeeded; at the pivot, that the order stands.
    pub(super) fn action_succeeded(&mut self, question: Question, output: Option<RawJson>) {
        let now = self.now;
        let step = self.step_mut(question.step);
        step.status = StepStatus::Succeeded;
        step.output = output;
        step.action.recorded.succeeded = true;
        step.action.flight = Flight::None;
        step.action.error = None;
        step.action.finished_at = Some(now);
        if self.saga.phase == Phase::Closing {
            return; // what it reports was published when the last compensation ended
        }
        let definition = self.definition;
        self.emit(self.def(question.step).events.succeeded.as_ref(), None);
        if definition.pivot() == Some(question.step) {
            self.saga.deadline = Deadline::None;
            self.saga.order = OrderStatus::Confirmed;
            self.emit(definition.blueprint().events.confirmed.as_ref(), None);
        }
    }

    /// Records that an action was refused. Where that turns the saga back, the world is told in this row, even
    /// if the saga is held and turns later.
    pub(super) fn action_rejected(&mut self, question: Question, error: Failure) {
        let now = self.now;
        let turns_back = self.turns_back(question.step);
        let step = self.step_mut(question.step);
        step.status = StepStatus::Rejected;
        step.action.recorded.rejected = true;
        step.action.flight = Flight::None;
        step.action.error = Some(error.clone());
        step.action.finished_at = Some(now);
        if turns_back {
            self.fail(question, error);
        }
    }

    /// The budget of `question` is used up: an action is UNKNOWN, a compensation FAILED.
    pub(super) fn give_up(&mut self, question: Question) {
        let now = self.now;
        let failure = self.exhausted(question);
        let turns_back = self.turns_back(question.step);
        let course = self.course_mut(question);
        course.flight = Flight::None;
        course.finished_at = Some(now);
        let step = self.step_mut(question.step);
        match (question.kind, &mut step.undo) {
            (Kind::Compensate, Some(undo)) => undo.status = UndoStatus::Failed,
            (Kind::Compensate, None) | (Kind::Action, _) => step.status = StepStatus::Unknown,
        }
        if turns_back {
            self.fail(question, failure.clone());
            self.turn_back(failure);
        }
    }

    /// Tells the world that the step failed, and notes why the saga turns back.
    fn fail(&mut self, question: Question, why: Failure) {
        self.emit(self.def(question.step).events.failed.as_ref(), Some(why.clone()));
        self.note_failure(question.step, why);
    }

    /// Notes why the saga turns back, unless that is known.
    pub(super) fn note_failure(&mut self, step: crate::definition::StepIndex, why: Failure) {
        if self.saga.failure.is_none() {
            self.data.failure = Some(why.clone());
            self.saga.failure = Some(SagaFailure { step, why });
        }
    }

    /// What the worker said when it refused `question`.
    pub(super) fn refusal(&self, question: Question) -> Failure {
        let error = self.saga.course(question).and_then(|course| course.error.clone());
        error.unwrap_or_else(|| self.exhausted(question))
    }

    fn exhausted(&self, question: Question) -> Failure {
        let name = &self.def(question.step).name;
        let course = self.saga.course(question);
        let attempts = course.map_or(0, |course| course.attempts);
        let last = course.and_then(|course| course.error.as_ref());
        match course.and_then(|course| course.last_failure) {
            Some(AttemptFailure::Retryable) => {
                let last = last.map_or_else(String::new, |last| format!(", the last with {}", last.code));
                Failure::new(RETRIES_EXHAUSTED, format!("{name}: {attempts} attempts failed{last}"))
            }
            Some(AttemptFailure::Unknown | AttemptFailure::NoAnswer) | None => {
                Failure::new(STEP_TIMEOUT, format!("{name}: no clear answer after {attempts} attempts"))
            }
        }
    }

    /// The error of an attempt that nobody answered.
    pub(super) fn unanswered(attempt: u32) -> Failure {
        Failure::new(STEP_TIMEOUT, format!("attempt {attempt} was not answered in time"))
    }
}
