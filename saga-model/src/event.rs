//! What can happen to a saga.

use std::borrow::Cow;

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
    /// A reply that would make the saga too big was dropped. Only [`crate::history`] makes this event, where the
    /// reply itself is lost; everyone else hands the reply over and lets [`crate::advance()`] judge.
    Oversized { command: CommandRef, outcome: Outcome },
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
#[serde(try_from = "PlainVerb", into = "PlainVerb")]
pub enum Verb {
    Replay { from_step: Option<String>, input: Option<RawJson> },
    Cancel,
    Compensate,
    Pause,
    Resume,
    Skip { step: String },
    Resolve,
}

/// A [`Verb`] as JSON: its name and all that any verb may carry, as plain fields, for a tagged enum would lose
/// the text of the input.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainVerb {
    pub verb: Action,
    /// Of `replay`: the step to go on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<String>,
    /// Of `replay`: what the step is given instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<RawJson>,
    /// Of `skip`: the step to leave out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// A `skip` that names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("skip names the step that is skipped")]
pub struct SkipWithoutStep;

impl From<Verb> for PlainVerb {
    fn from(verb: Verb) -> Self {
        let plain = Self { verb: verb.action(), from_step: None, input: None, step: None };
        match verb {
            Verb::Replay { from_step, input } => Self { from_step, input, ..plain },
            Verb::Skip { step } => Self { step: Some(step), ..plain },
            Verb::Cancel | Verb::Compensate | Verb::Pause | Verb::Resume | Verb::Resolve => plain,
        }
    }
}

impl TryFrom<PlainVerb> for Verb {
    type Error = SkipWithoutStep;
    fn try_from(plain: PlainVerb) -> Result<Self, SkipWithoutStep> {
        Ok(match plain.verb {
            Action::Replay => Verb::Replay { from_step: plain.from_step, input: plain.input },
            Action::Cancel => Verb::Cancel,
            Action::Compensate => Verb::Compensate,
            Action::Pause => Verb::Pause,
            Action::Resume => Verb::Resume,
            Action::Skip => Verb::Skip { step: plain.step.ok_or(SkipWithoutStep)? },
            Action::Resolve => Verb::Resolve,
        })
    }
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

impl Action {
    /// All of them.
    pub const ALL: [Action; 7] = [
        Action::Replay,
        Action::Cancel,
        Action::Compensate,
        Action::Pause,
        Action::Resume,
        Action::Skip,
        Action::Resolve,
    ];

    /// As in `availableActions` and in the paths of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Replay => "replay",
            Action::Cancel => "cancel",
            Action::Compensate => "compensate",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Skip => "skip",
            Action::Resolve => "resolve",
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

impl Actor {
    /// The text of it, as rows have it.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Actor::Worker => "worker".into(),
            Actor::Timer => "timer".into(),
            Actor::Engine => "engine".into(),
            Actor::Key(name) => format!("key:{name}").into(),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> String {
        actor.text().into_owned()
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
