//! The saga as a value.

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, StepIndex};
use crate::ids::SagaId;
use crate::json::RawJson;
use crate::micros::Micros;

/// One saga. Only [`crate::advance()`] makes or changes one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saga {
    pub id: SagaId,
    /// What its tokens and its jitter are derived from.
    pub secret: Secret,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Hold::is_none")]
    pub hold: Hold,
    /// One for each step of the definition, in its order. There is no cursor: see [`Saga::open_step`].
    pub steps: Vec<Step>,
    pub order: OrderStatus,
    pub deadline: Deadline,
    /// Why it turned back, or is about to (a refusal recorded while paused).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SagaFailure>,
    /// The `seq` of its last history row.
    pub revision: u32,
    pub created_at: Micros,
    pub updated_at: Micros,
    /// Late replies that have their row: each is recorded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredReply>,
}

/// Sixteen random bytes, minted by the shell with the saga.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub u128);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which way a saga goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    Forward,
    Unwinding,
    /// All is undone; the closing step runs.
    Closing,
    Completed,
    Compensated,
    Resolved,
}

impl Phase {
    /// Whether the saga has ended.
    pub fn is_final(self) -> bool {
        match self {
            Phase::Forward | Phase::Unwinding | Phase::Closing => false,
            Phase::Completed | Phase::Compensated | Phase::Resolved => true,
        }
    }
}

/// Whether a live saga rests.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    #[default]
    None,
    Paused {
        since: Micros,
    },
    Stuck(Stuck),
}

impl Hold {
    pub fn is_none(&self) -> bool {
        *self == Hold::None
    }
}

/// Why a saga cannot go on by itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Stuck {
    pub cause: StuckCause,
    /// The step in hand; none if the saga has no open question.
    pub step: Option<StepIndex>,
    pub since: Micros,
    pub message: String,
}

/// The causes of [`Stuck`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StuckCause {
    /// A retriable step was refused.
    Rejected,
    /// A retriable step used up its attempts.
    Exhausted,
    /// A compensation used up its attempts.
    UndoFailed,
    /// A compensation was refused.
    UndoRefused,
    /// All is undone, but the closing step was refused or used up its attempts.
    NotifyFailed,
    /// The engine could not apply or store a transition.
    EngineError,
    /// The saga would have grown over [`crate::advance::MAX_SAGA_BYTES`].
    TooBig,
}

/// What the outside was told of the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    Created,
    Confirmed,
    Cancelled,
}

/// Until when the pivot must have succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deadline {
    /// Past the pivot, or turned back.
    None,
    At(Micros),
    /// Stands still; microseconds are left.
    Held {
        left: i64,
    },
}

/// Why a saga turned back.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SagaFailure {
    /// The step in hand at the switch.
    pub step: StepIndex,
    #[serde(flatten)]
    pub why: Failure,
}

/// A code and a sentence, as workers and the engine give them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

impl Failure {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// A step of a saga.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub status: StepStatus,
    /// The course of the action: round, attempts, what is in flight.
    #[serde(flatten)]
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
    #[serde(default, skip_serializing_if = "Flight::is_none")]
    pub flight: Flight,
    /// How the last failed attempt ended; decides the code when the budget is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<AttemptFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Micros>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Micros>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What a course waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flight {
    #[default]
    None,
    /// The command of the latest attempt was sent; its reply or the word that none came is awaited.
    Sent { at: Micros },
    /// The next attempt is sent at that time; while the saga is paused there is none.
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
    #[serde(flatten)]
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

/// A question to a worker is an action or its compensation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Action,
    Compensate,
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

/// A late reply that was recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct IgnoredReply {
    pub step: StepIndex,
    pub kind: Kind,
    pub round: u32,
    pub outcome: Outcome,
}

impl Course {
    /// Before the first attempt of `round`.
    pub fn pending(round: u32) -> Self {
        Self {
            round,
            attempts: 0,
            budget_used: 0,
            answered_attempt: 0,
            flight: Flight::None,
            last_failure: None,
            error: None,
            started_at: None,
            finished_at: None,
        }
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
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.steps[usize::from(index.0)]
    }

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

    /// The attempts at the answer to `question`; none for the compensation of a step that owes none.
    pub fn course(&self, question: Question) -> Option<&Course> {
        let step = self.step(question.step);
        match question.kind {
            Kind::Action => Some(&step.action),
            Kind::Compensate => step.undo.as_ref().map(|undo| &undo.course),
        }
    }

    /// What the open question waits for, whether the saga is held or not: a command sent, or a backoff
    /// that has a time. Recovery rebuilds timers and pending commands from this alone.
    pub fn wake_up(&self, definition: &Definition) -> Option<WakeUp> {
        let question = self.question(definition)?;
        let course = self.course(question)?;
        let command =
            CommandRef { step: question.step, kind: question.kind, round: course.round, attempt: course.attempts };
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

    /// Whether it is at rest: ended, stuck or paused.
    pub fn at_rest(&self) -> bool {
        self.phase.is_final() || !self.hold.is_none()
    }

    /// The status that the outside sees.
    pub fn status(&self) -> SagaStatus {
        match (self.phase, &self.hold) {
            (Phase::Completed, _) => SagaStatus::Completed,
            (Phase::Compensated, _) => SagaStatus::Compensated,
            (Phase::Resolved, _) => SagaStatus::Resolved,
            (_, Hold::Paused { .. }) => SagaStatus::Paused,
            (_, Hold::Stuck(_)) => SagaStatus::Stuck,
            (Phase::Forward, Hold::None) => SagaStatus::Running,
            (Phase::Unwinding | Phase::Closing, Hold::None) => SagaStatus::Compensating,
        }
    }
}

impl Undo {
    /// Whether the compensation is still owed.
    pub fn is_open(&self) -> bool {
        match self.status {
            UndoStatus::Pending | UndoStatus::Running | UndoStatus::Failed => true,
            UndoStatus::Succeeded | UndoStatus::Waived => false,
        }
    }
}

/// The status of a saga as the outside sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SagaStatus {
    Running,
    Compensating,
    Paused,
    Stuck,
    Completed,
    Compensated,
    Resolved,
}
