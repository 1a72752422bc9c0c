//! The saga as a value.

mod question;
mod step;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::StepIndex;
use crate::ids::SagaId;
use crate::micros::Micros;

pub use question::{CommandRef, Kind, Outcome, Question, WakeUp};
pub use step::{AttemptFailure, Course, Flight, PastRound, Recorded, Step, StepStatus, Undo, UndoStatus};

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
    /// One for each step of the definition, in its order. There is no cursor: see [`Saga::question`].
    pub steps: Vec<Step>,
    pub order: OrderStatus,
    pub deadline: Deadline,
    /// Why it turned back, or is about to (a refusal recorded while held).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SagaFailure>,
    /// The `seq` of its last history row.
    pub revision: u32,
    pub created_at: Micros,
    /// When it last changed; a late reply that is merely recorded leaves it.
    pub updated_at: Micros,
    /// Late replies that have their row: each is recorded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<IgnoredReply>,
}

/// Sixteen random bytes, minted by the shell with the saga.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret(pub u128);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// As 32 hexadecimal digits: a number of 128 bits is beyond what JSON readers agree on.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(crate::wire::hex(self.0, &mut [0; 32]))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
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
    /// When it came to rest; a cause that changes later leaves it.
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

impl StuckCause {
    /// The word for it outside.
    pub fn as_str(self) -> &'static str {
        match self {
            StuckCause::Rejected => "REJECTED",
            StuckCause::Exhausted => "EXHAUSTED",
            StuckCause::UndoFailed => "UNDO_FAILED",
            StuckCause::UndoRefused => "UNDO_REFUSED",
            StuckCause::NotifyFailed => "NOTIFY_FAILED",
            StuckCause::EngineError => "ENGINE_ERROR",
            StuckCause::TooBig => "TOO_BIG",
        }
    }
}

/// What the outside was told of the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    Created,
    Confirmed,
    Cancelled,
}

impl OrderStatus {
    /// The word for it outside.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Created => "CREATED",
            OrderStatus::Confirmed => "CONFIRMED",
            OrderStatus::Cancelled => "CANCELLED",
        }
    }
}

/// Until when the pivot must have succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deadline {
    /// Past the pivot, or turned back.
    None,
    At(Micros),
    /// Stands still; microseconds are left, at least 0.
    Held {
        left: i64,
    },
}

impl Deadline {
    /// Stands still from `now` on.
    #[must_use]
    pub fn held(self, now: Micros) -> Self {
        match self {
            Deadline::At(at) => Deadline::Held { left: at.since(now).max(0) },
            Deadline::None | Deadline::Held { .. } => self,
        }
    }

    /// Runs again from `now` on, with what was left.
    #[must_use]
    pub fn released(self, now: Micros) -> Self {
        match self {
            Deadline::Held { left } => Deadline::At(now.plus(left)),
            Deadline::None | Deadline::At(_) => self,
        }
    }
}

/// Why a saga turned back.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SagaFailure {
    /// The step in hand at the switch; if all steps were done, the last one.
    pub step: StepIndex,
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

    /// The bytes of both.
    pub(crate) fn bytes(&self) -> usize {
        self.code.len() + self.message.len()
    }
}

/// A late reply that was recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct IgnoredReply {
    pub step: StepIndex,
    pub kind: Kind,
    pub round: u32,
    pub outcome: Outcome,
}

impl Saga {
    /// The step at `index`, which is one of the saga's definition.
    ///
    /// # Panics
    /// If the saga is paired with a definition that is not its own, a bug that the engine's panic fence contains.
    pub fn step(&self, index: StepIndex) -> &Step {
        &self.steps[usize::from(index.0)]
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
            (Phase::Forward | Phase::Unwinding | Phase::Closing, Hold::Paused { .. }) => SagaStatus::Paused,
            (Phase::Forward | Phase::Unwinding | Phase::Closing, Hold::Stuck(_)) => SagaStatus::Stuck,
            (Phase::Forward, Hold::None) => SagaStatus::Running,
            (Phase::Unwinding | Phase::Closing, Hold::None) => SagaStatus::Compensating,
        }
    }

    /// The bytes of all that workers and operators put into it: outputs, inputs, errors.
    pub fn bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(Step::bytes).sum();
        steps + self.failure.as_ref().map_or(0, |failure| failure.why.bytes())
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

impl SagaStatus {
    /// The word for it outside.
    pub fn as_str(self) -> &'static str {
        match self {
            SagaStatus::Running => "RUNNING",
            SagaStatus::Compensating => "COMPENSATING",
            SagaStatus::Paused => "PAUSED",
            SagaStatus::Stuck => "STUCK",
            SagaStatus::Completed => "COMPLETED",
            SagaStatus::Compensated => "COMPENSATED",
            SagaStatus::Resolved => "RESOLVED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: impl Serialize, word: &str) {
        assert_eq!(serde_json::to_value(value).unwrap(), word);
    }

    #[test]
    fn words_are_those_of_the_json() {
        use SagaStatus::{Compensated, Compensating, Completed, Paused, Resolved, Running, Stuck};
        for status in [Running, Compensating, Paused, Stuck, Completed, Compensated, Resolved] {
            check(status, status.as_str());
        }
        for outcome in [Outcome::Succeeded, Outcome::Rejected, Outcome::Retryable, Outcome::Unknown] {
            check(outcome, outcome.as_str());
        }
        use StuckCause::{EngineError, Exhausted, NotifyFailed, Rejected, TooBig, UndoFailed, UndoRefused};
        for cause in [Rejected, Exhausted, UndoFailed, UndoRefused, NotifyFailed, EngineError, TooBig] {
            check(cause, cause.as_str());
        }
        for kind in [Kind::Action, Kind::Compensate] {
            check(kind, kind.as_str());
        }
        for order in [OrderStatus::Created, OrderStatus::Confirmed, OrderStatus::Cancelled] {
            check(order, order.as_str());
        }
    }
}
