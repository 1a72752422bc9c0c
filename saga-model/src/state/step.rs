//! A step of a saga: how far its action is, and its compensation.

use serde::{Deserialize, Serialize};

use super::{Failure, Outcome};
use crate::json::RawJson;
use crate::micros::Micros;

/// A step of a saga.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub status: StepStatus,
    /// The course of the action: round, attempts, what is in flight.
    pub action: Course,
    /// An attempt of this round may have left an effect that its answer did not tell of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RawJson>,
    /// An input that an operator gave for this step in place of the saga's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<RawJson>,
}

/// How far an action is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    Pending,
    Running,
    Succeeded,
    Rejected,
    /// Given up without a clear answer: an effect may stand.
    Unknown,
    Skipped,
}

/// The attempts at an action or a compensation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    /// From 1; also before the first attempt.
    pub round: u32,
    /// All attempts of this round, over replays; 0 before the first.
    pub attempts: u32,
    /// Attempts of the present budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub budget_used: u32,
    /// The last attempt of this round whose RETRYABLE or UNKNOWN has its row, so that a repeat of it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answered_attempt: u32,
    /// The answers to this round that have their row, so that a repeat of one is known for a duplicate.
    #[serde(default, skip_serializing_if = "Recorded::is_none")]
    pub recorded: Recorded,
    #[serde(default, skip_serializing_if = "Flight::is_none")]
    pub flight: Flight,
    /// How the last failed attempt ended; decides the code when the budget is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<AttemptFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When the first attempt of this round was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Micros>,
    /// When this round was answered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Micros>,
    /// What is remembered of earlier rounds, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastRound>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Which answers to a round have their row. Both may: a stuck step that was refused heals on a success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
}

impl Recorded {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `outcome` is an answer that has its row.
    pub fn has(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Succeeded => self.succeeded,
            Outcome::Rejected => self.rejected,
            Outcome::Retryable | Outcome::Unknown => false,
        }
    }
}

/// An earlier round of a course: enough to judge what still arrives for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRound {
    pub round: u32,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Recorded::is_none")]
    pub recorded: Recorded,
}

/// What a course waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flight {
    #[default]
    None,
    /// The command of the latest attempt was sent; its reply or the word that none came is awaited.
    Sent { at: Micros },
    /// The next attempt is sent at that time; while the saga is held there is none.
    Backoff { until: Option<Micros> },
}

impl Flight {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
    fn is_none(&self) -> bool {
        *self == Flight::None
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptFailure {
    /// The worker says that no effect of it stands.
    Retryable,
    /// The worker says that an effect may stand.
    Unknown,
    /// Nobody answered in time.
    NoAnswer,
}

/// The compensation that a step owes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    pub status: UndoStatus,
    pub course: Course,
    /// Whether the worker found an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<bool>,
}

/// How far a compensation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UndoStatus {
    Pending,
    Running,
    Succeeded,
    Failed,
    /// An operator took it upon themselves.
    Waived,
}

impl Course {
    /// Before the first attempt of `round`.
    pub fn pending(round: u32) -> Self {
        Self {
            round,
            attempts: 0,
            budget_used: 0,
            answered_attempt: 0,
            recorded: Recorded::default(),
            flight: Flight::None,
            last_failure: None,
            error: None,
            started_at: None,
            finished_at: None,
            past: Vec::new(),
        }
    }

    /// A fresh question: the next round, before its first attempt.
    pub fn next_round(&mut self) {
        let mut past = std::mem::take(&mut self.past);
        past.push(PastRound { round: self.round, attempts: self.attempts, recorded: self.recorded });
        *self = Self { past, ..Self::pending(self.round + 1) };
    }

    /// What was sent and recorded of `round`; none if no attempt of it was sent.
    pub fn sent(&self, round: u32) -> Option<PastRound> {
        let present = PastRound { round: self.round, attempts: self.attempts, recorded: self.recorded };
        let known = self.past.iter().copied().chain([present]).find(|past| past.round == round)?;
        (known.attempts > 0).then_some(known)
    }

    fn bytes(&self) -> usize {
        self.error.as_ref().map_or(0, Failure::bytes)
    }
}

impl Step {
    /// A step whose turn has not come.
    pub fn pending() -> Self {
        Self {
            status: StepStatus::Pending,
            action: Course::pending(1),
            unanswered: false,
            undo: None,
            output: None,
            input: None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let text = |json: &Option<RawJson>| json.as_ref().map_or(0, |json| json.get().len());
        let undo = self.undo.as_ref().map_or(0, |undo| undo.course.bytes());
        text(&self.output) + text(&self.input) + self.action.bytes() + undo
    }
}

impl Undo {
    /// Owed, and its turn has not come.
    pub fn pending(round: u32) -> Self {
        Self { status: UndoStatus::Pending, course: Course::pending(round), undone: None }
    }

    /// Whether the compensation is still owed.
    pub fn is_open(&self) -> bool {
        match self.status {
            UndoStatus::Pending | UndoStatus::Running | UndoStatus::Failed => true,
            UndoStatus::Succeeded | UndoStatus::Waived => false,
        }
    }
}
