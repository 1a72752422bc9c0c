//! From answers to replies.

use saga_model::micros::Micros;
use saga_model::state::Kind;
use saga_model::wire::reply;

use super::read::Item;
use crate::ledger::Answer;
use crate::patience::Hopeless;
use crate::transport::Outgoing;

/// Where replies go.
pub const TOPIC: &str = "saga.replies";

/// The reply that carries `answer` to the command of `item`; none if it is kept back.
pub(super) fn reply<T>(item: &Item<T>, answer: &Answer, at: Micros) -> Result<Option<Outgoing>, Hopeless> {
    if item.silent {
        return Ok(None);
    }
    let command = &item.command;
    let value = reply::write(command, answer.outcome, answer.output.as_ref(), answer.error.as_ref())
        .map_err(|error| Hopeless::Poison(error.to_string()))?;
    let saga = command.saga_id.to_string();
    let kind = match command.kind {
        Kind::Action => "ACTION",
        Kind::Compensate => "COMPENSATE",
    };
    let id = format!("{saga}/{}/{kind}/{}/{}", command.step, command.round, command.attempt);
    let mut headers = vec![
        header("ce_id", id),
        header("ce_type", TOPIC),
        header("ce_source", "/saga"),
        header("ce_specversion", "1.0"),
        header("ce_time", at.to_string()),
        header("ce_subject", saga.clone()),
        header("content-type", "application/json"),
    ];
    if let Some(parent) = item.delivery.header("traceparent") {
        headers.push(header("traceparent", parent));
    }
    Ok(Some(Outgoing { topic: TOPIC, key: Some(saga.into_bytes()), value: Some(value), headers }))
}

fn header(name: &str, value: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (name.to_owned(), value.into())
}
