//! What a saga asks, and what it waits for: read off its state, so that there is no cursor to keep right.

use serde::{Deserialize, Serialize};

use super::{Course, Flight, Phase, Saga, StepStatus, Undo, UndoStatus};
use crate::definition::{Definition, StepIndex};
use crate::micros::Micros;

/// A question to a worker is an action or its compensation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Action,
    Compensate,
}

impl Kind {
    /// The word for it, on the wire and everywhere else outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Action => "ACTION",
            Kind::Compensate => "COMPENSATE",
        }
    }
}

/// What a worker answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Done; to a compensation: nothing of it stands.
    Succeeded,
    /// Refused for good; no effect stands.
    Rejected,
    /// No effect of this attempt stands; try again.
    Retryable,
    /// An effect may stand.
    Unknown,
}

impl Outcome {
    /// The word for it, on the wire and everywhere else outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "SUCCEEDED",
            Outcome::Rejected => "REJECTED",
            Outcome::Retryable => "RETRYABLE",
            Outcome::Unknown => "UNKNOWN",
        }
    }
}

/// The question that a saga is asking, or would ask if it were not held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Question {
    pub step: StepIndex,
    pub kind: Kind,
}

/// A command in flight: what identifies one attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CommandRef {
    pub step: StepIndex,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
}

/// The one thing that will move a live, unheld saga on (besides its deadline).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WakeUp {
    /// A reply to this command, or the word that none came.
    Reply { command: CommandRef, sent_at: Micros },
    /// The end of a backoff after this attempt.
    Backoff { command: CommandRef, until: Micros },
}

impl Saga {
    /// The open question: FORWARD, the first step neither SUCCEEDED nor SKIPPED; UNWINDING, the last one
    /// whose undo is PENDING, RUNNING or FAILED; CLOSING, the closing step.
    pub fn question(&self, definition: &Definition) -> Option<Question> {
        match self.phase {
            Phase::Forward => definition
                .steps()
                .map(|(index, _)| index)
                .find(|index| !matches!(self.step(*index).status, StepStatus::Succeeded | StepStatus::Skipped))
                .map(|step| Question { step, kind: Kind::Action }),
            Phase::Unwinding => definition
                .steps()
                .rev()
                .map(|(index, _)| index)
                .find(|index| self.step(*index).undo.as_ref().is_some_and(Undo::is_open))
                .map(|step| Question { step, kind: Kind::Compensate }),
            Phase::Closing => definition.closing().map(|step| Question { step, kind: Kind::Action }),
            Phase::Completed | Phase::Compensated | Phase::Resolved => None,
        }
    }

    /// The step in hand: that of the open question. Where there is none (all is answered, and what follows waits until
    /// the hold is over), the step that was answered last.
    pub fn step_in_hand(&self, definition: &Definition) -> StepIndex {
        if let Some(question) = self.question(definition) {
            return question.step;
        }
        let mut steps = definition.steps().map(|(index, _)| index);
        let answered_last = match self.phase {
            // Compensations are answered in reverse.
            Phase::Unwinding => steps.find(|index| self.step(*index).undo.is_some()),
            Phase::Forward | Phase::Closing | Phase::Completed | Phase::Compensated | Phase::Resolved => {
                steps.next_back()
            }
        };
        answered_last.unwrap_or(StepIndex(0)) // which every definition has
    }

    /// The attempts at the answer to `question`; none for the compensation of a step that owes none.
    pub fn course(&self, question: Question) -> Option<&Course> {
        let step = self.step(question.step);
        match question.kind {
            Kind::Action => Some(&step.action),
            Kind::Compensate => step.undo.as_ref().map(|undo| &undo.course),
        }
    }

    /// The latest command of the open question, sent or not (attempt 0).
    pub fn command(&self, definition: &Definition) -> Option<CommandRef> {
        let question = self.question(definition)?;
        let course = self.course(question)?;
        Some(CommandRef { step: question.step, kind: question.kind, round: course.round, attempt: course.attempts })
    }

    /// What the open question waits for, whether the saga is held or not: a command sent, or a backoff
    /// that has a time. Recovery rebuilds timers and pending commands from this alone.
    pub fn wake_up(&self, definition: &Definition) -> Option<WakeUp> {
        let command = self.command(definition)?;
        let course = self.course(Question { step: command.step, kind: command.kind })?;
        match course.flight {
            Flight::None | Flight::Backoff { until: None } => None,
            Flight::Sent { at } => Some(WakeUp::Reply { command, sent_at: at }),
            Flight::Backoff { until: Some(until) } => Some(WakeUp::Backoff { command, until }),
        }
    }

    /// Whether the pivot has succeeded and not been undone: the point after which only an operator turns back.
    pub fn pivot_stands(&self, definition: &Definition) -> bool {
        definition.pivot().is_some_and(|pivot| {
            let step = self.step(pivot);
            step.status == StepStatus::Succeeded
                && step.undo.as_ref().is_none_or(|undo| undo.status != UndoStatus::Succeeded)
        })
    }
}
