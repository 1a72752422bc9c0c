//! The end of an undone saga: the order is cancelled, the closing step tells of it.

use super::draft::Draft;
use super::unwind::owes;
use crate::state::{OrderStatus, Phase, StepStatus, UndoStatus};

impl Draft<'_> {
    /// Cancels the order, once, in the transition after which a saga that turns back owes no compensation.
    pub(super) fn settle_order(&mut self) {
        let turns_back = match self.saga.phase {
            Phase::Forward => self.saga.failure.is_some(), // refused while held
            Phase::Unwinding | Phase::Closing | Phase::Compensated => true,
            Phase::Completed | Phase::Resolved => false,
        };
        if turns_back && !owes(self.definition, &self.saga) {
            self.cancel_order();
        }
    }

    /// Cancels the order unless it is.
    pub(super) fn cancel_order(&mut self) {
        if self.saga.order != OrderStatus::Cancelled {
            self.saga.order = OrderStatus::Cancelled;
            let reason = self.saga.failure.as_ref().map(|failure| failure.why.clone());
            self.emit(self.definition.blueprint().events.cancelled.as_ref(), reason);
        }
    }

    /// All is undone. A closing step that ran on the way forward is asked again, with the other outcome: a new round.
    pub(super) fn begin_closing(&mut self) {
        self.saga.phase = Phase::Closing;
        self.settle_order();
        if let Some(closing) = self.definition.closing() {
            let step = self.step_mut(closing);
            if step.action.attempts > 0 || !step.action.past.is_empty() {
                step.action.next_round();
            }
            step.status = StepStatus::Pending;
            step.unanswered = false;
            step.output = None;
        }
    }

    /// The closing step is done, left out or not there.
    pub(super) fn closed(&mut self) {
        let mut undos = self.saga.steps.iter().filter_map(|step| step.undo.as_ref());
        let waived = undos.any(|undo| undo.status == UndoStatus::Waived);
        self.end(if waived { Phase::Resolved } else { Phase::Compensated });
    }
}
