//! An order: the view of its saga that the shop's own clients know.

use serde::Serialize;
use serde_json::value::RawValue;

use super::At;
use crate::ids::SagaId;
use crate::json::RawJson;
use crate::state::{Failure, OrderStatus, Saga};
use crate::wire::OrderInput;

/// An order, as under `GET /orders/{id}`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderView<'a> {
    pub id: SagaId,
    pub user_id: &'a str,
    /// A JSON number.
    pub total_amount: &'a RawValue,
    pub currency: &'a str,
    pub payment_method: Option<&'a str>,
    pub status: OrderStatus,
    pub failure_reason: Option<OrderFailure<'a>>,
    pub items: &'a RawValue,
    pub created_at: At,
    pub updated_at: At,
}

/// Why an order is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct OrderFailure<'a>(pub &'a Failure);

/// The order that `saga` runs, which was started with `input`.
///
/// # Errors
/// If the input is not that of an order, which a stored one always is.
pub fn order_view<'a>(saga: &'a Saga, input: &'a RawJson) -> Result<OrderView<'a>, serde_json::Error> {
    let order: OrderInput<'a> = serde_json::from_str(input.get())?;
    // A saga that was resolved with its order standing has a failure; the order has none.
    let failure_reason = match saga.order {
        OrderStatus::Cancelled => saga.failure.as_ref().map(|failure| OrderFailure(&failure.why)),
        OrderStatus::Created | OrderStatus::Confirmed => None,
    };
    Ok(OrderView {
        id: saga.id,
        user_id: order.user_id,
        total_amount: order.amount,
        currency: order.currency,
        payment_method: order.payment_method,
        status: saga.order,
        failure_reason,
        items: order.items,
        created_at: At(saga.created_at),
        updated_at: At(saga.updated_at),
    })
}
