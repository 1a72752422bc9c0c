//! Domain events: a function of a history row, the saga's input and its definition, so that an event
//! sent again is the same to the byte.

use serde::Serialize;
use serde_json::value::RawValue;

use super::command::OrderInput;
use crate::definition::{Definition, InputForm};
use crate::history::Emitted;
use crate::ids::SagaId;
use crate::json::RawJson;
use crate::state::Failure;

/// The id of an event: `<sagaId>/<seq>/<topic>`.
pub fn id(saga: SagaId, seq: u32, topic: &str) -> String {
    format!("{saga}/{seq}/{topic}")
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
    input: &RawJson,
    event: &Emitted,
) -> Result<Vec<u8>, serde_json::Error> {
    let reason = event.reason.as_ref();
    match definition.blueprint().input {
        InputForm::Object => serde_json::to_vec(&ObjectBody { saga_id: saga, input, reason }),
        InputForm::Order => {
            let order: OrderInput<'_> = serde_json::from_str(input.get())?;
            serde_json::to_vec(&OrderBody {
                order_id: saga,
                user_id: order.user_id,
                total_amount: order.amount,
                items: order.items,
                reason,
            })
        }
    }
}
