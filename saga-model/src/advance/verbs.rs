//! Operators' verbs: what is allowed, and what each does. One function judges, for the list that the outside
//! sees and for the verb itself.

use super::draft::{Draft, Head};
use super::{Advance, MAX_SAGA_BYTES, Refused};
use crate::Definition;
use crate::definition::StepIndex;
use crate::event::{Action, Actor, PlainVerb, Verb};
use crate::history::RowKind;
use crate::json::RawJson;
use crate::micros::Micros;
use crate::state::{Failure, Flight, Hold, Kind, Phase, Question, Saga, StepStatus, Undo, UndoStatus};

/// The verbs that this saga allows now; all others are refused.
pub fn available_actions(definition: &Definition, saga: &Saga) -> Vec<Action> {
    let candidates: &[Action] = match saga.hold {
        Hold::None => &[Action::Cancel, Action::Compensate, Action::Pause, Action::Replay],
        Hold::Paused { .. } => &[Action::Resume, Action::Cancel, Action::Compensate],
        Hold::Stuck(_) => &[Action::Replay, Action::Resolve, Action::Skip, Action::Cancel, Action::Compensate],
    };
    candidates.iter().copied().filter(|action| is_allowed(definition, saga, *action)).collect()
}

fn is_allowed(definition: &Definition, saga: &Saga, action: Action) -> bool {
    if saga.phase.is_final() {
        return false;
    }
    let forward = saga.phase == Phase::Forward;
    match (action, &saga.hold) {
        (Action::Cancel, _) => forward && !saga.pivot_stands(definition),
        (Action::Compensate, _) => forward,
        (Action::Pause, hold) => hold.is_none(),
        (Action::Resume, hold) => matches!(hold, Hold::Paused { .. }),
        (Action::Replay, Hold::None) => in_backoff(definition, saga),
        (Action::Replay | Action::Skip | Action::Resolve, Hold::Paused { .. }) => false,
        (Action::Replay | Action::Resolve, Hold::Stuck(_)) => true,
        (Action::Skip | Action::Resolve, Hold::None) => false,
        (Action::Skip, Hold::Stuck(_)) => {
            saga.question(definition).is_some_and(|question| is_skippable(definition, saga, question))
        }
    }
}

fn in_backoff(definition: &Definition, saga: &Saga) -> bool {
    let course = saga.question(definition).and_then(|question| saga.course(question));
    course.is_some_and(|course| matches!(course.flight, Flight::Backoff { .. }))
}

/// A step without an undo may be left out; a compensation that failed may be taken for done by hand.
fn is_skippable(definition: &Definition, saga: &Saga, question: Question) -> bool {
    let step = saga.step(question.step);
    match question.kind {
        Kind::Action => !definition.step(question.step).undoable() && step.status != StepStatus::Succeeded,
        Kind::Compensate => step.undo.as_ref().is_some_and(|undo| undo.status == UndoStatus::Failed),
    }
}

/// Whether the verb may be applied, beyond its name.
///
/// # Errors
/// Why not.
pub fn judge(definition: &Definition, saga: &Saga, verb: &Verb) -> Result<(), Refused> {
    let refuse = || Refused::ActionNotAllowed { action: verb.action(), available: available_actions(definition, saga) };
    let named = match verb {
        Verb::Skip { step } => Some(definition.find(step).ok_or_else(|| Refused::UnknownStep { step: step.clone() })?),
        Verb::Replay { .. } | Verb::Cancel | Verb::Compensate | Verb::Pause | Verb::Resume | Verb::Resolve => None,
    };
    let in_hand = saga.question(definition);
    if !is_allowed(definition, saga, verb.action()) || named.is_some() && named != in_hand.map(|q| q.step) {
        return Err(refuse());
    }
    match verb {
        Verb::Replay { from_step, input } => {
            if let Some(name) = from_step
                && (in_hand.is_none() || definition.find(name) != in_hand.map(|question| question.step))
            {
                return Err(Refused::StepNotReplayable { step: name.clone() });
            }
            match input {
                Some(input) => judge_input(definition, saga, input, in_hand),
                None => Ok(()),
            }
        }
        Verb::Cancel | Verb::Compensate | Verb::Pause | Verb::Resume | Verb::Skip { .. } | Verb::Resolve => Ok(()),
    }
}

/// Another input is another question: only where no effect of the old one stands, and where the world was not told.
fn judge_input(
    definition: &Definition,
    saga: &Saga,
    input: &RawJson,
    in_hand: Option<Question>,
) -> Result<(), Refused> {
    let replaceable = in_hand.is_some_and(|Question { step, kind }| match (kind, saga.step(step).status) {
        (Kind::Action, StepStatus::Rejected) => !definition.step(step).undoable(),
        (Kind::Action, StepStatus::Pending) => true,
        (Kind::Action, StepStatus::Running | StepStatus::Unknown | StepStatus::Succeeded | StepStatus::Skipped) => {
            false
        }
        (Kind::Compensate, _) => false,
    });
    if !replaceable || matches!(saga.hold, Hold::None | Hold::Paused { .. }) {
        return Err(Refused::EffectMayStand);
    }
    let old = in_hand.and_then(|question| saga.step(question.step).input.as_ref()).map_or(0, |old| old.get().len());
    if saga.bytes() - old + input.get().len() > MAX_SAGA_BYTES {
        return Err(Refused::InputTooLarge);
    }
    Ok(())
}

/// Applies a verb, or refuses it.
pub(super) fn apply(
    definition: &Definition,
    saga: &Saga,
    verb: &Verb,
    reason: &str,
    actor: &Actor,
    now: Micros,
) -> Advance {
    if let Err(why) = judge(definition, saga, verb) {
        return Advance::Refused(why);
    }
    let head = Head::about(RowKind::OperatorActed, saga.command(definition));
    let mut draft = Draft::of(definition, saga, head, now);
    let PlainVerb { verb: action, from_step, input, step } = verb.clone().into();
    draft.data.verb = Some(action);
    draft.data.reason = Some(reason.to_owned());
    draft.data.from_step = from_step;
    draft.data.input = input;
    draft.data.step = step;
    match verb {
        Verb::Cancel => draft.turn_back(Failure::new("CANCELLED_BY_OPERATOR", "an operator cancelled it")),
        Verb::Compensate => draft.turn_back(Failure::new("COMPENSATED_BY_OPERATOR", "an operator had it undone")),
        Verb::Pause => draft.pause(),
        Verb::Resume => draft.resume(),
        Verb::Replay { input, .. } => draft.replay(input.as_ref()),
        Verb::Skip { .. } => draft.skip(),
        Verb::Resolve => draft.resolve(),
    }
    draft.drive();
    draft.finish(actor)
}

impl Draft<'_> {
    fn pause(&mut self) {
        self.stand_still();
        self.saga.hold = Hold::Paused { since: self.now };
    }

    /// What waited is applied by [`Self::drive`]. A command in flight is not sent again: its worker may be at it.
    fn resume(&mut self) {
        self.let_go();
        let now = self.now;
        if let Some(question) = self.question() {
            let course = self.course_mut(question);
            if let Flight::Sent { .. } = course.flight {
                course.flight = Flight::Sent { at: now };
            }
        }
    }

    /// Asks the open question again: as the next attempt, with a new budget; after a refusal, or with another
    /// input, as the next round.
    fn replay(&mut self, input: Option<&RawJson>) {
        let stuck = matches!(self.saga.hold, Hold::Stuck(_));
        self.let_go();
        let Some(question) = self.question() else { return };
        if !stuck {
            return self.end_backoff(question); // try now: the budget is not renewed
        }
        match question.kind {
            Kind::Action => self.replay_action(question, input),
            Kind::Compensate => self.replay_undo(question),
        }
    }

    fn replay_action(&mut self, question: Question, input: Option<&RawJson>) {
        let refused_for_good = self.turns_back(question.step);
        let step = self.step_mut(question.step);
        match step.status {
            StepStatus::Rejected if refused_for_good => {} // `drive` turns back
            StepStatus::Rejected => {
                step.action.next_round();
                step.status = StepStatus::Pending;
                step.unanswered = false;
            }
            StepStatus::Unknown | StepStatus::Running => {
                // An attempt that is still in flight is given up.
                step.unanswered |= matches!(step.action.flight, Flight::Sent { .. });
                step.status = StepStatus::Running;
                step.action.budget_used = 0;
                step.action.flight = Flight::Backoff { until: None };
            }
            StepStatus::Pending if input.is_some() => step.action.next_round(),
            StepStatus::Pending | StepStatus::Succeeded | StepStatus::Skipped => {} // `drive` goes on
        }
        if let Some(input) = input {
            self.data.previous_input = self.step_mut(question.step).input.replace(input.clone());
        }
    }

    fn replay_undo(&mut self, question: Question) {
        let Some(undo) = &mut self.step_mut(question.step).undo else { return }; // an open question has one
        match undo.status {
            UndoStatus::Failed if undo.course.recorded.rejected => {
                undo.course.next_round();
                undo.status = UndoStatus::Pending;
            }
            UndoStatus::Failed | UndoStatus::Running => {
                undo.status = UndoStatus::Running;
                undo.course.budget_used = 0;
                undo.course.flight = Flight::Backoff { until: None };
            }
            UndoStatus::Pending | UndoStatus::Succeeded | UndoStatus::Waived => {} // `drive` goes on
        }
    }

    fn skip(&mut self) {
        let now = self.now;
        self.let_go();
        let Some(question) = self.question() else { return }; // judged: there is one
        match question.kind {
            Kind::Compensate => self.waive(question.step),
            Kind::Action => {
                let step = self.step_mut(question.step);
                step.status = StepStatus::Skipped;
                step.action.flight = Flight::None;
                step.action.finished_at = Some(now);
            }
        }
    }

    /// Ends the saga as it is: what is owed is waived by name, and the order follows the pivot.
    fn resolve(&mut self) {
        let stands = self.saga.pivot_stands(self.definition);
        let step = self.step_in_hand();
        self.note_failure(step, Failure::new("RESOLVED_BY_OPERATOR", "an operator resolved it by hand"));
        if self.saga.phase == Phase::Forward && !stands {
            self.owe_undos();
        } else {
            self.give_up_running();
        }
        for index in (0..self.saga.steps.len()).map(|i| StepIndex(i as u8)) {
            if self.saga.step(index).undo.as_ref().is_some_and(Undo::is_open) {
                self.waive(index);
            }
        }
        self.end(Phase::Resolved);
        if !stands {
            self.cancel_order();
        }
    }
}
