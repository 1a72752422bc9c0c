//! What the outside sees of a saga: the public JSON, written from the state and read back by clients.

mod definition;
mod history;
mod order;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::advance::available_actions;
use crate::definition::{Definition, StepIndex};
use crate::event::Action;
use crate::ids::SagaId;
use crate::json::RawJson;
use crate::micros::{Micros, TIME_BYTES};
use crate::state::{
    Course, Deadline, Failure, Hold, Saga, SagaStatus, Step, StepStatus, StuckCause, Undo, UndoStatus, WakeUp,
};

pub use definition::{DefinitionView, StepDefView};
pub use history::EventView;
pub use order::{OrderFailure, OrderView, order_view};

/// A time as its RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At(pub Micros);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.encode(&mut [0; TIME_BYTES]))
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(At).map_err(serde::de::Error::custom)
    }
}

/// Whether the worker's group has taken the command in flight, as far as the shell knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It has; unless it answers until then, the attempt has failed.
    Yes {
        until: Micros,
    },
    /// The command waits for a worker.
    No,
    Unknown,
}

/// What a view is made of, beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub definition: &'a Definition,
    pub saga: &'a Saga,
    pub input: &'a RawJson,
    pub business_key: Option<&'a str>,
    pub trace_id: &'a str,
    pub taken: Taken,
}

/// A saga, as under `GET /sagas/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SagaView<'a> {
    pub id: SagaId,
    #[serde(borrow)]
    pub definition: DefinitionName<'a>,
    pub status: SagaStatus,
    pub business_key: Option<Cow<'a, str>>,
    /// None in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<RawJson>,
    pub revision: u32,
    pub created_at: At,
    pub updated_at: At,
    pub deadline: Option<At>,
    pub waiting_for: Option<WaitingFor<'a>>,
    pub failure: Option<FailureView<'a>>,
    pub stuck: Option<StuckView<'a>>,
    pub steps: Vec<StepView<'a>>,
    pub trace_id: Cow<'a, str>,
    /// None in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_actions: Option<Vec<Action>>,
}

/// Which definition a saga runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DefinitionName<'a> {
    pub name: Cow<'a, str>,
    pub version: u32,
}

/// What a live saga waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WaitingFor<'a> {
    pub kind: WaitingKind,
    /// The step in hand.
    pub step: Cow<'a, str>,
    pub since: At,
    pub until: Option<At>,
}

/// The kinds of [`WaitingFor`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitingKind {
    Reply,
    Retry,
    Operator,
    /// No worker has taken the command.
    Worker,
}

/// Why it turned back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailureView<'a> {
    pub step: Cow<'a, str>,
    pub code: Cow<'a, str>,
    pub message: Cow<'a, str>,
}

/// Why it rests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StuckView<'a> {
    pub cause: StuckCause,
    /// The step in hand when it came to rest.
    pub step: Cow<'a, str>,
    pub since: At,
    pub message: Cow<'a, str>,
}

/// A step of a saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView<'a> {
    pub name: Cow<'a, str>,
    pub status: StepStatus,
    pub round: u32,
    pub attempts: u32,
    pub started_at: Option<At>,
    pub finished_at: Option<At>,
    /// The outer none: in a list there is no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Option<RawJson>>,
    pub error: Option<Cow<'a, Failure>>,
    pub compensation: Option<CompensationView<'a>>,
}

/// A field that is there, though it may be null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<RawJson>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The compensation that a step owes or owed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompensationView<'a> {
    pub status: UndoStatus,
    pub attempts: u32,
    pub started_at: Option<At>,
    pub finished_at: Option<At>,
    pub error: Option<Cow<'a, Failure>>,
}

impl<'a> SagaView<'a> {
    /// All of it.
    pub fn of(parts: Parts<'a>) -> Self {
        let Parts { definition, saga, input, business_key, trace_id, taken } = parts;
        let name = |step: StepIndex| Cow::Borrowed(definition.step(step).name.as_str());
        let stuck = match &saga.hold {
            Hold::Stuck(stuck) => Some(StuckView {
                cause: stuck.cause,
                step: name(stuck.step.unwrap_or_else(|| saga.step_in_hand(definition))),
                since: At(stuck.since),
                message: stuck.message.as_str().into(),
            }),
            Hold::None | Hold::Paused { .. } => None,
        };
        Self {
            id: saga.id,
            definition: DefinitionName { name: definition.name().into(), version: definition.version() },
            status: saga.status(),
            business_key: business_key.map(Cow::Borrowed),
            input: Some(input.clone()),
            revision: saga.revision,
            created_at: At(saga.created_at),
            updated_at: At(saga.updated_at),
            deadline: match saga.deadline {
                Deadline::At(at) => Some(At(at)),
                Deadline::None | Deadline::Held { .. } => None,
            },
            waiting_for: waiting_for(definition, saga, taken),
            failure: saga.failure.as_ref().map(|failure| FailureView {
                step: name(failure.step),
                code: failure.why.code.as_str().into(),
                message: failure.why.message.as_str().into(),
            }),
            stuck,
            steps: definition.steps().map(|(index, def)| step(&def.name, saga.step(index))).collect(),
            trace_id: trace_id.into(),
            available_actions: Some(available_actions(definition, saga)),
        }
    }

    /// As an entry of a list: without input, outputs and actions.
    #[must_use]
    pub fn entry(parts: Parts<'a>) -> Self {
        let mut view = Self::of(parts);
        view.input = None;
        view.available_actions = None;
        for step in &mut view.steps {
            step.output = None;
        }
        view
    }
}

fn waiting_for<'a>(definition: &'a Definition, saga: &Saga, taken: Taken) -> Option<WaitingFor<'a>> {
    if saga.phase.is_final() {
        return None;
    }
    let step = Cow::Borrowed(definition.step(saga.step_in_hand(definition)).name.as_str());
    let waiting =
        |kind, since, until: Option<Micros>| Some(WaitingFor { kind, step, since: At(since), until: until.map(At) });
    match (&saga.hold, saga.wake_up(definition)) {
        (Hold::Paused { since }, _) => waiting(WaitingKind::Operator, *since, None),
        (Hold::Stuck(stuck), _) => waiting(WaitingKind::Operator, stuck.since, None),
        (Hold::None, Some(WakeUp::Reply { sent_at, .. })) => match taken {
            Taken::Yes { until } => waiting(WaitingKind::Reply, sent_at, Some(until)),
            Taken::Unknown => waiting(WaitingKind::Reply, sent_at, None),
            Taken::No => waiting(WaitingKind::Worker, sent_at, None),
        },
        // It began with the transition that recorded the failed attempt.
        (Hold::None, Some(WakeUp::Backoff { until, .. })) => waiting(WaitingKind::Retry, saga.updated_at, Some(until)),
        (Hold::None, None) => None, // no such saga: a live one without hold has a wake-up
    }
}

fn step<'a>(name: &'a str, step: &'a Step) -> StepView<'a> {
    let Course { round, attempts, started_at, finished_at, error, .. } = &step.action;
    StepView {
        name: name.into(),
        status: step.status,
        round: *round,
        attempts: *attempts,
        started_at: started_at.map(At),
        finished_at: finished_at.map(At),
        output: Some(step.output.clone()),
        error: error.as_ref().map(Cow::Borrowed),
        compensation: step.undo.as_ref().map(compensation),
    }
}

fn compensation(undo: &Undo) -> CompensationView<'_> {
    let Course { attempts, started_at, finished_at, error, .. } = &undo.course;
    CompensationView {
        status: undo.status,
        attempts: *attempts,
        started_at: started_at.map(At),
        finished_at: finished_at.map(At),
        error: error.as_ref().map(Cow::Borrowed),
    }
}
