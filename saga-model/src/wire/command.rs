//! Commands: how the orchestrator writes one and how a worker reads it.

mod plain;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::{Fields, Limits};
use super::{MAX_MESSAGE_BYTES, NUMBER_BYTES, SagaInput, Unreadable, encode_token, idempotency_key, json, push_key};
use crate::advance::MAX_SAGA_BYTES;
use crate::definition::{Definition, InputForm};
use crate::ids::{ID_BYTES, SagaId};
use crate::json::{MAX_DEPTH, RawJson};
use crate::micros::Micros;
use crate::state::{CommandRef, Deadline, Failure, Kind, OrderStatus, Phase, Saga, StepStatus};

/// A command as a worker reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    pub saga_id: SagaId,
    pub step: String,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
    pub idempotency_key: String,
    pub token: String,
    /// RFC 3339; after it a worker may refuse to begin an action, with RETRYABLE.
    pub deadline: Option<String>,
    pub payload: RawJson,
}

/// How much deeper an output stands in a command than in the reply that brought it.
const DEEPER: usize = 2;

/// Reads a command.
///
/// The outputs of earlier steps that it carries come on top of what any message may have: each was read before, in a
/// reply, and together they are at most what a saga may hold. So whatever an orchestrator writes is read.
///
/// # Errors
/// The code of the dead letter that it is.
pub fn parse(bytes: &[u8]) -> Result<Command, Unreadable> {
    plain::read(bytes).map_or_else(|| read_whole(bytes), Ok)
}

/// The long way, by which every command can be read, and which says what is wrong with one that cannot.
fn read_whole(bytes: &[u8]) -> Result<Command, Unreadable> {
    let uncounted = if bytes.len() > MAX_MESSAGE_BYTES { bytes_of_outputs(bytes).min(MAX_SAGA_BYTES) } else { 0 };
    let mut fields = Fields::read(bytes, &Limits { uncounted, depth: MAX_DEPTH + DEEPER, member: None })?;
    let (saga_id, step, kind) = (fields.saga_id()?, fields.text("step")?, fields.kind()?);
    let (round, attempt) = (fields.count("round")?, fields.count("attempt")?);
    let (key, token) = (fields.text("idempotencyKey")?, fields.text("token")?);
    let payload = fields.required("payload", "an object", |json| json.as_object().map(|_| RawJson::from(json.raw)))?;
    let deadline = fields.optional("deadline", "a string", |json| json.as_str().map(str::to_owned))?;
    match (saga_id, step, kind, round, attempt, key, token, payload) {
        (
            Some(saga_id),
            Some(step),
            Some(kind),
            Some(round),
            Some(attempt),
            Some(idempotency_key),
            Some(token),
            Some(payload),
        ) => Ok(Command { saga_id, step, kind, round, attempt, idempotency_key, token, deadline, payload }),
        _ => Err(fields.finish().err().unwrap_or_else(|| {
            // Unreachable: a field that is none was noted as missing.
            Unreadable::new(super::DeadLetterCode::MissingField, "a field is missing")
        })),
    }
}

/// How much of a command is the outputs of earlier steps; none of what cannot be read.
fn bytes_of_outputs(bytes: &[u8]) -> usize {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        payload: Carrying<'a>,
    }
    #[derive(Deserialize)]
    struct Carrying<'a> {
        #[serde(borrow)]
        steps: BTreeMap<Cow<'a, str>, &'a RawValue>,
    }
    let Ok(Whole { payload }) = serde_json::from_slice(bytes) else { return 0 };
    payload.steps.values().map(|output| output.get().len()).sum()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    saga_id: SagaId,
    step: &'a str,
    kind: Kind,
    round: u32,
    attempt: u32,
    idempotency_key: String,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::micros::rfc3339")]
    deadline: Option<Micros>,
    token: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Order(OrderPayload<'a>),
    Object(ObjectPayload<'a>),
}

/// What every payload carries beside the input.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OrderStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Failure>,
    steps: Outputs<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderPayload<'a> {
    order_id: SagaId,
    user_id: &'a str,
    total_amount: &'a RawValue,
    currency: &'a str,
    items: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method: Option<&'a str>,
    #[serde(flatten)]
    context: Context<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectPayload<'a> {
    saga_id: SagaId,
    input: &'a RawJson,
    #[serde(flatten)]
    context: Context<'a>,
}

/// What a command usually has beside the input and what workers and operators have put into the saga.
const USUAL_BYTES: usize = 448;

/// The outputs of the steps that succeeded, by name, in order.
struct Outputs<'a>(&'a Definition, &'a Saga);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, step) in self.0.steps() {
            let state = self.1.step(index);
            if state.status == StepStatus::Succeeded {
                match &state.output {
                    Some(output) => map.serialize_entry(&step.name, output)?,
                    None => map.serialize_entry(&step.name, &serde_json::Map::new())?,
                }
            }
        }
        map.end()
    }
}

/// The id of a command as a message: `<idempotencyKey>/<kind>/<attempt>`.
pub fn id(saga: SagaId, step: &str, command: CommandRef) -> String {
    let kind = command.kind.as_str();
    let mut id = String::with_capacity(ID_BYTES + 1 + step.len() + NUMBER_BYTES + 1 + kind.len() + NUMBER_BYTES);
    push_key(&mut id, saga, step, command.round);
    for part in ["/", kind, "/", itoa::Buffer::new().format(command.attempt)] {
        id.push_str(part);
    }
    id
}

/// Writes the command `command` of `saga`, whose input is `input`, as its owner at `epoch`.
///
/// # Errors
/// If the input is not of the definition's form, which a stored one always is.
pub fn write<'a>(
    definition: &Definition,
    saga: &'a Saga,
    input: &SagaInput<'a>,
    command: CommandRef,
    epoch: u64,
) -> Result<Vec<u8>, serde_json::Error> {
    let step = definition.step(command.step);
    let own = saga.step(command.step).input.as_ref().map(SagaInput::new);
    let input = own.as_ref().unwrap_or(input);
    let cancelled = saga.phase == Phase::Closing;
    // Told to the steps that report how the saga ends: forward past the pivot, and last of all when it is undone.
    let outcome = (!step.undoable() && command.kind == Kind::Action).then_some(if cancelled {
        OrderStatus::Cancelled
    } else {
        OrderStatus::Confirmed
    });
    let unhappy = cancelled || command.kind == Kind::Compensate;
    let reason = saga.failure.as_ref().map(|failure| &failure.why).filter(|_| unhappy);
    let context = Context { outcome, reason, steps: Outputs(definition, saga) };
    let payload = match definition.blueprint().input {
        InputForm::Object => Payload::Object(ObjectPayload { saga_id: saga.id, input: input.text, context }),
        InputForm::Order => {
            let order = input.order()?;
            Payload::Order(OrderPayload {
                order_id: saga.id,
                user_id: order.user_id,
                total_amount: order.amount,
                currency: order.currency,
                items: order.items,
                payment_method: order.payment_method,
                context,
            })
        }
    };
    let deadline = match (command.kind, saga.deadline) {
        (Kind::Action, Deadline::At(at)) => Some(at),
        (Kind::Action, Deadline::None | Deadline::Held { .. }) | (Kind::Compensate, _) => None,
    };
    let mut token = [0; 32];
    let written = Written {
        saga_id: saga.id,
        step: &step.name,
        kind: command.kind,
        round: command.round,
        attempt: command.attempt,
        idempotency_key: idempotency_key(saga.id, &step.name, command.round),
        epoch,
        deadline,
        token: encode_token(saga.secret, &step.name, command.kind, command.round, &mut token),
        payload,
    };
    json(&written, USUAL_BYTES + input.text.get().len() + saga.bytes())
}
