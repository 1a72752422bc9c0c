//! Turning back: the direction switch, and compensations.

use super::draft::Draft;
use crate::json::{self, Json, RawJson, Value};
use crate::state::{Deadline, Failure, Flight, Hold, Phase, Question, Saga, StepStatus, Undo, UndoStatus};

/// Whether the worker says that it found an effect and undid it.
fn undone(output: Option<&RawJson>) -> Option<bool> {
    let output = json::parse(output?.get().as_bytes()).ok()?;
    match output.get("undone") {
        Some(Json { value: Value::Bool(undone), .. }) => Some(*undone),
        Some(_) | None => None, // it does not say
    }
}

impl Draft<'_> {
    /// The direction switch. From its commit on no action of an undoable step is sent; every step that was
    /// started and not cleanly refused is compensated, the one with an unknown outcome included.
    pub(super) fn turn_back(&mut self, why: Failure) {
        self.note_failure(self.step_in_hand(), why);
        self.owe_undos();
        self.saga.phase = Phase::Unwinding;
        self.saga.hold = Hold::None;
        self.saga.deadline = Deadline::None;
    }

    /// Gives up the running step, and notes which compensations are owed.
    pub(super) fn owe_undos(&mut self) {
        self.give_up_running();
        for (index, def) in self.definition.steps() {
            let step = self.step_mut(index);
            if def.undoable() && step.undo.is_none() && may_stand(step) {
                step.undo = Some(Undo::pending(step.action.round));
            }
        }
    }

    /// Nobody waits for the running action any more: an effect of it may stand.
    pub(super) fn give_up_running(&mut self) {
        let now = self.now;
        for step in &mut self.saga.steps {
            if step.status == StepStatus::Running {
                step.status = StepStatus::Unknown;
                step.action.flight = Flight::None;
                step.action.finished_at = Some(now);
            }
        }
    }

    /// Records that a compensation is done.
    pub(super) fn undo_succeeded(&mut self, question: Question, output: Option<RawJson>) {
        let now = self.now;
        let undone = undone(output.as_ref());
        if let Some(undo) = &mut self.step_mut(question.step).undo {
            undo.status = UndoStatus::Succeeded;
            undo.undone = undone;
            undo.course.recorded.succeeded = true;
            undo.course.flight = Flight::None;
            undo.course.error = None;
            undo.course.finished_at = Some(now);
        }
        self.data.output = output;
        if undone == Some(true) {
            let reason = self.saga.failure.as_ref().map(|failure| failure.why.clone());
            self.emit(self.def(question.step).events.undone.as_ref(), reason);
        }
    }

    /// Records that a compensation was refused, which a correct worker does not do.
    pub(super) fn undo_rejected(&mut self, question: Question, error: Failure) {
        let now = self.now;
        if let Some(undo) = &mut self.step_mut(question.step).undo {
            undo.status = UndoStatus::Failed;
            undo.course.recorded.rejected = true;
            undo.course.flight = Flight::None;
            undo.course.error = Some(error);
            undo.course.finished_at = Some(now);
        }
    }

    /// An operator takes it upon themselves that nothing of this step stands.
    pub(super) fn waive(&mut self, index: crate::definition::StepIndex) {
        let now = self.now;
        if let Some(undo) = &mut self.step_mut(index).undo {
            undo.status = UndoStatus::Waived;
            undo.course.flight = Flight::None;
            undo.course.finished_at = Some(now);
            self.data.waived.push(self.def(index).name.clone());
        }
    }
}

/// Whether an effect of the step may stand, so that a saga that turns back compensates it.
fn may_stand(step: &crate::state::Step) -> bool {
    match step.status {
        StepStatus::Succeeded | StepStatus::Unknown | StepStatus::Running => true,
        StepStatus::Rejected => step.unanswered,
        StepStatus::Pending | StepStatus::Skipped => false,
    }
}

/// Whether a saga that turns back, or is about to, still owes a compensation.
pub(super) fn owes(definition: &crate::Definition, saga: &Saga) -> bool {
    let undoable = definition.steps().filter(|(_, def)| def.undoable()).map(|(index, _)| saga.step(index));
    match saga.phase {
        Phase::Forward => undoable.into_iter().any(may_stand),
        Phase::Unwinding | Phase::Closing | Phase::Completed | Phase::Compensated | Phase::Resolved => {
            undoable.into_iter().any(|step| step.undo.as_ref().is_some_and(Undo::is_open))
        }
    }
}
