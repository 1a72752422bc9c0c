//! The rule about an order's status.

use super::ensure;
use crate::definition::Definition;
use crate::event::Action;
use crate::history::{Row, fold_each};
use crate::state::{OrderStatus, Phase, Saga, UndoStatus};

/// INV-12.
pub(super) fn goes_its_way(definition: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let mut before = OrderStatus::Created;
    let mut compensated = false;
    let mut wrong = Ok(());
    let visit = |row: &Row, after: &Saga| {
        compensated |= row.data.verb == Some(Action::Compensate);
        let allowed = match (before, after.order) {
            (OrderStatus::Created, OrderStatus::Confirmed) => after.pivot_stands(definition),
            (OrderStatus::Confirmed, OrderStatus::Cancelled) => compensated,
            (OrderStatus::Created, OrderStatus::Cancelled) => true,
            (one, other) => one == other,
        };
        let events = &definition.blueprint().events;
        let told = |topic: &Option<String>| {
            topic.as_ref().map(|topic| row.data.emit.iter().any(|event| event.topic == *topic))
        };
        let became = |status| before != after.order && after.order == status;
        let published = told(&events.confirmed).is_none_or(|told| told == became(OrderStatus::Confirmed))
            && told(&events.cancelled).is_none_or(|told| told == became(OrderStatus::Cancelled));
        if !(allowed && published) && wrong.is_ok() {
            wrong = Err(format!("row {}: {before:?} to {:?}, events {:?}", row.seq, after.order, row.data.emit));
        }
        before = after.order;
    };
    // A history that does not fold breaks another rule.
    if fold_each(definition, saga.id, saga.secret, rows, visit).is_err() {
        return Ok(());
    }
    wrong?;
    rests_rightly(definition, saga)
}

/// What the outside was told fits how it ended.
fn rests_rightly(definition: &Definition, saga: &Saga) -> Result<(), String> {
    let refunded = definition
        .pivot()
        .and_then(|pivot| saga.step(pivot).undo.as_ref())
        .is_some_and(|undo| undo.status == UndoStatus::Succeeded);
    let fits = match (saga.phase, saga.order) {
        (Phase::Completed, OrderStatus::Confirmed) => definition.pivot().is_some(),
        (Phase::Completed, OrderStatus::Created) => definition.pivot().is_none(),
        (Phase::Completed, OrderStatus::Cancelled) => false,
        (Phase::Compensated | Phase::Closing, order) => order == OrderStatus::Cancelled,
        (Phase::Resolved, OrderStatus::Created) => false,
        (Phase::Resolved, OrderStatus::Confirmed) => !refunded,
        (Phase::Resolved, OrderStatus::Cancelled) | (Phase::Forward | Phase::Unwinding, _) => true,
    };
    ensure(fits, || format!("{:?} with an order {:?}", saga.phase, saga.order))
}
