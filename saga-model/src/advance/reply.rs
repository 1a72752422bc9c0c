//! Replies: is it genuine, does it count, and what it says.

use super::draft::{Draft, Head};
use super::{Advance, Foreign, Ignored, MAX_SAGA_BYTES, engine};
use crate::definition::Definition;
use crate::event::{Actor, Reply};
use crate::history::RowKind;
use crate::micros::Micros;
use crate::retry;
use crate::state::{
    AttemptFailure, CommandRef, Failure, Flight, Hold, IgnoredReply, Kind, Outcome, Question, Saga, StepStatus,
};
use crate::wire;

/// What a reply is to the saga.
enum Verdict {
    Foreign(Foreign),
    Ignored(Ignored),
    /// Genuine, but the saga does not ask that any more: recorded once.
    Late,
    /// The first UNKNOWN of an attempt that is over: an effect may stand after all.
    Doubt,
    /// SUCCEEDED or REJECTED, to the question that is open.
    Answer,
    /// RETRYABLE or UNKNOWN, of the current attempt.
    FailedAttempt,
}

/// Applies a reply.
pub(super) fn apply(definition: &Definition, saga: &Saga, reply: &Reply, actor: &Actor, now: Micros) -> Advance {
    let command = CommandRef { step: reply.step, kind: reply.kind, round: reply.round, attempt: reply.attempt };
    let question = Question { step: reply.step, kind: reply.kind };
    let verdict = classify(definition, saga, reply);
    let begin = |head| Draft::of(definition, saga, head, now);
    let advance = match verdict {
        Verdict::Foreign(why) => return Advance::DeadLetter(why),
        Verdict::Ignored(why) => return Advance::Ignored(why),
        Verdict::Late => {
            let mut draft = begin(Head::about(RowKind::ReplyIgnored, Some(command)));
            draft.data.kind = Some(reply.kind);
            draft.data.outcome = Some(reply.outcome);
            draft.data.partition = Some(reply.partition);
            draft.data.offset = Some(reply.offset);
            draft.saga.ignored.push(ignored(reply));
            return draft.finish(actor);
        }
        Verdict::Doubt => {
            let mut draft = begin(Head::about(RowKind::AttemptFailed, Some(command)));
            draft.data.outcome = Some(reply.outcome);
            draft.data.error = Some(error(reply));
            draft.step_mut(reply.step).unanswered = true;
            draft.finish(actor)
        }
        Verdict::Answer => {
            let mut draft = begin(Head::about(answer_kind(reply), Some(command)));
            draft.answered(question, reply);
            draft.finish(actor)
        }
        Verdict::FailedAttempt => {
            let mut draft = begin(failed_head(command, false));
            draft.data.outcome = Some(reply.outcome);
            draft.data.error = Some(error(reply));
            let how = match reply.outcome {
                Outcome::Retryable => AttemptFailure::Retryable,
                Outcome::Unknown | Outcome::Succeeded | Outcome::Rejected => AttemptFailure::Unknown,
            };
            draft.attempt_failed(question, command, how, error(reply));
            draft.drive();
            draft.finish(actor)
        }
    };
    match &advance {
        // A transition that does not let the saga grow is never the one that is too much.
        Advance::Changed(made) if made.saga.bytes() > MAX_SAGA_BYTES.max(saga.bytes()) => {
            engine::oversized(definition, saga, command, reply.outcome, actor, now)
        }
        Advance::Changed(_) | Advance::Ignored(_) | Advance::Refused(_) | Advance::DeadLetter(_) => advance,
    }
}

fn ignored(reply: &Reply) -> IgnoredReply {
    IgnoredReply { step: reply.step, kind: reply.kind, round: reply.round, outcome: reply.outcome }
}

/// What a worker says is wrong; one that says nothing is quoted as such.
fn error(reply: &Reply) -> Failure {
    reply.error.clone().unwrap_or_else(|| Failure::new("UNSPECIFIED", "the worker gave no reason"))
}

/// Judges a reply, in the order of the table: foreign, duplicate, late, stale, and then what counts.
fn classify(definition: &Definition, saga: &Saga, reply: &Reply) -> Verdict {
    let question = Question { step: reply.step, kind: reply.kind };
    let known = usize::from(reply.step.0) < saga.steps.len();
    let course = known.then(|| saga.course(question)).flatten();
    let Some((course, sent)) = course.and_then(|course| Some((course, course.sent(reply.round)?))) else {
        return Verdict::Foreign(Foreign::FutureStep);
    };
    let name = &definition.step(reply.step).name;
    if !wire::token_is(&reply.token, saga.secret, name, reply.kind, reply.round) {
        return Verdict::Foreign(Foreign::WrongToken);
    }
    if reply.attempt > sent.attempts {
        return Verdict::Foreign(Foreign::FutureAttempt);
    }
    if sent.recorded.has(reply.outcome) {
        return Verdict::Ignored(Ignored::Duplicate);
    }
    let asked = saga.question(definition) == Some(question) && reply.round == course.round;
    if !asked || is_answered(definition, saga, question) {
        let again = saga.ignored.contains(&ignored(reply));
        return if again { Verdict::Ignored(Ignored::Late) } else { Verdict::Late };
    }
    match reply.outcome {
        Outcome::Succeeded | Outcome::Rejected => Verdict::Answer,
        Outcome::Retryable | Outcome::Unknown => {
            let current = reply.attempt == course.attempts && reply.attempt > course.answered_attempt;
            let in_doubt = saga.step(reply.step).unanswered || reply.kind == Kind::Compensate;
            match course.flight {
                Flight::Sent { .. } | Flight::None if current => Verdict::FailedAttempt,
                Flight::Sent { .. } | Flight::None | Flight::Backoff { .. } => match reply.outcome {
                    Outcome::Unknown if !in_doubt => Verdict::Doubt,
                    Outcome::Unknown | Outcome::Retryable | Outcome::Succeeded | Outcome::Rejected => {
                        Verdict::Ignored(Ignored::Stale)
                    }
                },
            }
        }
    }
}

/// Whether the answer to the open question is in, and what follows from it waits only for the end of a hold.
fn is_answered(definition: &Definition, saga: &Saga, question: Question) -> bool {
    match (question.kind, saga.step(question.step).status) {
        (Kind::Action, StepStatus::Succeeded | StepStatus::Skipped) => true,
        // The world was told of this refusal; that of a retriable step is not final.
        (Kind::Action, StepStatus::Rejected) => definition.step(question.step).undoable(),
        (Kind::Action, StepStatus::Pending | StepStatus::Running | StepStatus::Unknown) => false,
        (Kind::Compensate, _) => false, // an ended compensation is not the open question
    }
}

fn answer_kind(reply: &Reply) -> RowKind {
    match (reply.kind, reply.outcome == Outcome::Succeeded) {
        (Kind::Action, true) => RowKind::StepSucceeded,
        (Kind::Action, false) => RowKind::StepRejected,
        (Kind::Compensate, true) => RowKind::CompensationSucceeded,
        (Kind::Compensate, false) => RowKind::CompensationFailed,
    }
}

/// The columns of the row of a failed attempt, which may have been the last of its budget.
pub(super) fn failed_head(command: CommandRef, last: bool) -> Head {
    let kind = match (command.kind, last) {
        (Kind::Action, false) => RowKind::AttemptFailed,
        (Kind::Action, true) => RowKind::StepUnknown,
        (Kind::Compensate, false) => RowKind::CompensationAttemptFailed,
        (Kind::Compensate, true) => RowKind::CompensationFailed,
    };
    Head::about(kind, Some(command))
}

impl Draft<'_> {
    /// Records an answer to the open question, and does what follows.
    fn answered(&mut self, question: Question, reply: &Reply) {
        let stuck = matches!(self.saga.hold, Hold::Stuck(_));
        match (reply.kind, reply.outcome) {
            (Kind::Action, Outcome::Succeeded) => {
                self.data.output.clone_from(&reply.output);
                self.action_succeeded(question, reply.output.clone());
            }
            (Kind::Compensate, Outcome::Succeeded) => self.undo_succeeded(question, reply.output.clone()),
            (Kind::Action, Outcome::Rejected | Outcome::Retryable | Outcome::Unknown) => {
                self.data.error = Some(error(reply));
                self.action_rejected(question, error(reply));
            }
            (Kind::Compensate, Outcome::Rejected | Outcome::Retryable | Outcome::Unknown) => {
                self.data.outcome = Some(reply.outcome); // a budget used up has this kind of row too
                self.data.error = Some(error(reply));
                self.undo_rejected(question, error(reply));
            }
        }
        if stuck && reply.outcome == Outcome::Succeeded {
            self.data.healed = true;
            self.let_go();
        } else if stuck {
            self.get_stuck(self.cause(question), self.message(question));
        }
        if !self.saga.hold.is_none() {
            self.settle_order(); // its consequences wait, what the outside is told does not
        }
        self.drive();
    }

    /// Records that `command`, the latest attempt at `question`, failed. While the saga is held, or once the
    /// question was refused or given up, that only stands in the history.
    pub(super) fn attempt_failed(
        &mut self,
        question: Question,
        command: CommandRef,
        how: AttemptFailure,
        error: Failure,
    ) {
        let running = self.saga.hold.is_none();
        let left = self.budget_left(question);
        let until = (running && left).then(|| {
            let used = self.saga.course(question).map_or(1, |course| course.budget_used);
            let name = &self.def(question.step).name;
            self.now.plus(retry::delay(self.definition.policy(), self.saga.secret, name, command, used))
        });
        match (command.kind, how) {
            (Kind::Action, AttemptFailure::Unknown | AttemptFailure::NoAnswer) => {
                self.step_mut(question.step).unanswered = true;
            }
            (Kind::Action, AttemptFailure::Retryable) | (Kind::Compensate, _) => {}
        }
        let course = self.course_mut(question);
        match how {
            AttemptFailure::Retryable | AttemptFailure::Unknown => course.answered_attempt = command.attempt,
            AttemptFailure::NoAnswer => {}
        }
        let in_flight = matches!(course.flight, Flight::Sent { .. });
        if in_flight {
            course.flight = Flight::Backoff { until };
            course.last_failure = Some(how);
            course.error = Some(error);
            self.data.retry_at = until;
        }
        self.retitle(failed_head(command, in_flight && running && !left));
    }
}
