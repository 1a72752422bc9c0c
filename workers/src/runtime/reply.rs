//! From answers to replies.

use saga_model::micros::Micros;
use saga_model::wire::reply;
use service::cloudevents::CloudEvent;
use service::kafka::topics;

use super::read::Item;
use crate::ledger::Answer;
use crate::observe::PlannedSpan;
use crate::patience::Hopeless;
use crate::transport::Outgoing;

/// The reply that carries `answer` to the command of `item`.
pub(super) fn reply<T>(item: &Item<T>, answer: &Answer, at: Micros) -> Result<Outgoing, Hopeless> {
    let command = &item.command;
    let value = reply::write(command, answer.outcome, answer.output.as_ref(), answer.error.as_ref())
        .map_err(|error| Hopeless::Poison(error.to_string()))?;
    let saga = command.saga_id;
    let kind = command.kind.as_str();
    let event = CloudEvent {
        id: format!("{saga}/{}/{kind}/{}/{}", command.step, command.round, command.attempt),
        topic: topics::REPLIES,
        saga,
        time: at,
        sequence: None,
        trace: item.span.as_ref().map(PlannedSpan::place).or(item.sent_from),
        definition: None,
    };
    Ok(Outgoing {
        topic: topics::REPLIES,
        key: Some(saga.to_string().into_bytes()),
        value: Some(value),
        headers: event.headers(),
    })
}
