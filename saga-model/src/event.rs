//! What can happen to a saga.

use serde::{Deserialize, Serialize};

use crate::definition::StepIndex;
use crate::ids::SagaId;
use crate::json::RawJson;
use crate::state::{CommandRef, Failure, Kind, Outcome, Secret};

/// One thing that happened. The shell decides when; [`crate::advance()`] decides what follows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// A saga was asked for. The only event that finds no saga.
    Submitted { id: SagaId, secret: Secret },
    /// A worker answered.
    Reply(Reply),
    /// The worker's group took the command and nobody answered within the step's timeout.
    NoAnswer(CommandRef),
    /// The backoff after this attempt is over.
    BackoffOver(CommandRef),
    /// The saga's deadline has passed.
    DeadlinePassed,
    /// An operator wants something.
    Verb { verb: Verb, reason: String },
    /// The engine could not apply or store a transition of this saga.
    EngineFailed { message: String },
}

/// A reply that was readable and is meant for a step of the saga's definition.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reply {
    pub step: StepIndex,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
    /// As it came; compared with the saga's own.
    pub token: String,
    pub outcome: Outcome,
    pub output: Option<RawJson>,
    pub error: Option<Failure>,
    /// Where it was read, for the record of a late one.
    pub partition: i32,
    pub offset: i64,
}

/// What an operator may ask for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Verb {
    Replay {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_step: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<RawJson>,
    },
    Cancel,
    Compensate,
    Pause,
    Resume,
    Skip {
        step: String,
    },
    Resolve,
}

impl Verb {
    /// Its name, as in `availableActions`.
    pub fn action(&self) -> Action {
        match self {
            Verb::Replay { .. } => Action::Replay,
            Verb::Cancel => Action::Cancel,
            Verb::Compensate => Action::Compensate,
            Verb::Pause => Action::Pause,
            Verb::Resume => Action::Resume,
            Verb::Skip { .. } => Action::Skip,
            Verb::Resolve => Action::Resolve,
        }
    }
}

/// The name of a verb.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    Replay,
    Cancel,
    Compensate,
    Pause,
    Resume,
    Skip,
    Resolve,
}

/// Who caused a transition, as the history names them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    Worker,
    Timer,
    Engine,
    /// `key:<name>`, or `key:anonymous`.
    Key(String),
}

impl From<Actor> for String {
    fn from(actor: Actor) -> String {
        match actor {
            Actor::Worker => "worker".to_owned(),
            Actor::Timer => "timer".to_owned(),
            Actor::Engine => "engine".to_owned(),
            Actor::Key(name) => format!("key:{name}"),
        }
    }
}

impl TryFrom<String> for Actor {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "worker" => Ok(Actor::Worker),
            "timer" => Ok(Actor::Timer),
            "engine" => Ok(Actor::Engine),
            other => other.strip_prefix("key:").map(|name| Actor::Key(name.to_owned())).ok_or(text),
        }
    }
}
