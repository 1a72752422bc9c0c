//! Domain events: a function of a history row, the saga's input and its definition, so that an event
//! sent again is the same to the byte.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{NUMBER_BYTES, SagaInput, json};
use crate::definition::{Definition, InputForm};
use crate::history::Emitted;
use crate::ids::{ID_BYTES, SagaId};
use crate::json::RawJson;
use crate::state::Failure;

/// What an event usually has beside the input and its reason.
const USUAL_BYTES: usize = 128;

/// The id of an event: `<sagaId>/<seq>/<topic>`.
pub fn id(saga: SagaId, seq: u32, topic: &str) -> String {
    let mut id = String::with_capacity(ID_BYTES + NUMBER_BYTES + 1 + topic.len());
    for part in [saga.encode(&mut [0; ID_BYTES]), "/", itoa::Buffer::new().format(seq), "/", topic] {
        id.push_str(part);
    }
    id
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody<'a> {
    order_id: SagaId,
    user_id: &'a str,
    total_amount: &'a RawValue,
    items: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectBody<'a> {
    saga_id: SagaId,
    input: &'a RawJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Failure>,
}

/// Writes the body of `event` of the saga `saga`, whose input is `input`.
///
/// # Errors
/// If the input is not of the definition's form, which a stored one always is.
pub fn write(
    definition: &Definition,
    saga: SagaId,
    input: &SagaInput<'_>,
    event: &Emitted,
) -> Result<Vec<u8>, serde_json::Error> {
    let reason = event.reason.as_ref();
    let bytes = USUAL_BYTES + input.text.get().len() + reason.map_or(0, Failure::bytes);
    match definition.blueprint().input {
        InputForm::Object => json(&ObjectBody { saga_id: saga, input: input.text, reason }, bytes),
        InputForm::Order => {
            let order = input.order()?;
            let body = OrderBody {
                order_id: saga,
                user_id: order.user_id,
                total_amount: order.amount,
                items: order.items,
                reason,
            };
            json(&body, bytes)
        }
    }
}
