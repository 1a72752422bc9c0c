//! The history: one row a transition, enough to fold back into the state.

mod fold;

use serde::{Deserialize, Serialize};

use crate::definition::StepIndex;
use crate::event::{Action, Actor};
use crate::json::RawJson;
use crate::micros::Micros;
use crate::state::{CommandRef, Failure, Kind, Outcome, Phase, StuckCause};

pub use fold::{FoldError, event_of, fold, fold_each};

/// One transition of a saga.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Gapless from 1.
    pub seq: u32,
    pub at: Micros,
    #[serde(rename = "type")]
    pub kind: RowKind,
    /// None for what concerns no step, `SagaStarted` included.
    pub step: Option<StepIndex>,
    pub round: Option<u32>,
    pub attempt: Option<u32>,
    pub data: RowData,
    pub actor: Actor,
}

/// The type of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum RowKind {
    SagaStarted,
    StepSucceeded,
    StepRejected,
    /// RETRYABLE, UNKNOWN or no answer to an action, attempts left.
    AttemptFailed,
    /// A backoff is over (of either kind, see `data.kind`).
    AttemptStarted,
    /// The attempts of an action are used up.
    StepUnknown,
    DeadlinePassed,
    CompensationSucceeded,
    CompensationAttemptFailed,
    CompensationFailed,
    ReplyIgnored,
    OperatorActed,
    EngineFailed,
}

impl RowKind {
    /// The word for it outside.
    pub fn as_str(self) -> &'static str {
        match self {
            RowKind::SagaStarted => "SagaStarted",
            RowKind::StepSucceeded => "StepSucceeded",
            RowKind::StepRejected => "StepRejected",
            RowKind::AttemptFailed => "AttemptFailed",
            RowKind::AttemptStarted => "AttemptStarted",
            RowKind::StepUnknown => "StepUnknown",
            RowKind::DeadlinePassed => "DeadlinePassed",
            RowKind::CompensationSucceeded => "CompensationSucceeded",
            RowKind::CompensationAttemptFailed => "CompensationAttemptFailed",
            RowKind::CompensationFailed => "CompensationFailed",
            RowKind::ReplyIgnored => "ReplyIgnored",
            RowKind::OperatorActed => "OperatorActed",
            RowKind::EngineFailed => "EngineFailed",
        }
    }
}

/// What a row says beyond its columns: what happened (enough to apply it again) and what was decided.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowData {
    // What happened.
    /// The behaviour of the machine that started this saga, in the first row: numbers are never reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviour: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The outcome of a reply; of a failed attempt none if nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RawJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// What an operator asked for: the name of the verb, then what it carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<RawJson>,
    /// The step that a `skip` left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The step's own input that a replay with a new one replaced; none if it was the saga's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_input: Option<RawJson>,
    // What was decided.
    /// The command that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextCommand>,
    /// When the next attempt is due.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::micros::rfc3339")]
    pub retry_at: Option<Micros>,
    /// The domain events of this transition, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emit: Vec<Emitted>,
    /// Why the saga turned back, in the row that turned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<StuckCause>,
    /// A stuck saga got its missing answer and goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub healed: bool,
    /// Steps whose compensation the operator took upon themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// The final phase, in the row that ended the saga.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Phase>,
}

/// A command as a row shows it: with the step's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NextCommand {
    pub step: String,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
}

/// A domain event of a row. Its body is a function of this, the row's `seq` and the saga's input.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Emitted {
    pub topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Failure>,
}

impl NextCommand {
    /// As a row shows `command`.
    pub fn new(name: &str, command: CommandRef) -> Self {
        Self { step: name.to_owned(), kind: command.kind, round: command.round, attempt: command.attempt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_json() {
        for kind in [
            RowKind::SagaStarted,
            RowKind::StepSucceeded,
            RowKind::StepRejected,
            RowKind::AttemptFailed,
            RowKind::AttemptStarted,
            RowKind::StepUnknown,
            RowKind::DeadlinePassed,
            RowKind::CompensationSucceeded,
            RowKind::CompensationAttemptFailed,
            RowKind::CompensationFailed,
            RowKind::ReplyIgnored,
            RowKind::OperatorActed,
            RowKind::EngineFailed,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
