//! The messages of a transition: commands, domain events, dead letters.

use std::borrow::Cow;
use std::sync::Arc;

use saga_model::history::{Emitted, Row};
use saga_model::ids::ShardId;
use saga_model::state::CommandRef;
use saga_model::wire::{self, idempotency_key};
use saga_model::{Definition, Micros, SagaId};

use crate::bus::{Class, Incoming, Outgoing, Ticket, topics};
use crate::store::rows::{DeadLetter, SagaRecord};

/// CloudEvents headers in binary mode, and the trace.
fn headers(id: String, topic: &str, saga: SagaId, at: Micros, trace: &str) -> Vec<(Cow<'static, str>, Vec<u8>)> {
    let headers = [
        ("ce_id", id.into_bytes()),
        ("ce_type", topic.as_bytes().to_vec()),
        ("ce_source", b"/saga".to_vec()),
        ("ce_specversion", b"1.0".to_vec()),
        ("ce_time", at.to_string().into_bytes()),
        ("ce_subject", saga.to_string().into_bytes()),
        ("content-type", b"application/json".to_vec()),
        ("traceparent", trace.as_bytes().to_vec()),
    ];
    headers.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
}

fn key(saga: SagaId) -> Option<Vec<u8>> {
    Some(saga.to_string().into_bytes())
}

/// The message of a command. Sent again, as the same attempt, it is the same but for `epoch`.
///
/// # Errors
/// If the saga's input is not of its definition's form.
pub fn command(
    record: &SagaRecord,
    definition: &Definition,
    command: CommandRef,
    sent_at: Micros,
    ticket: Ticket,
    traceparent: &str,
) -> Result<Outgoing, serde_json::Error> {
    let saga = &record.saga;
    let step = definition.step(command.step);
    let value = wire::command::write(definition, saga, &record.origin.input, command, ticket.epoch)?;
    let question = idempotency_key(saga.id, &step.name, command.round);
    let kind = match command.kind {
        saga_model::state::Kind::Action => "ACTION",
        saga_model::state::Kind::Compensate => "COMPENSATE",
    };
    let id = format!("{question}/{kind}/{}", command.attempt);
    Ok(Outgoing {
        topic: Arc::from(step.topic.as_str()),
        key: key(saga.id),
        partition: None,
        value: Some(value),
        headers: headers(id, &step.topic, saga.id, sent_at, traceparent),
        class: Class::Command,
        ticket: Ticket { command: Some((saga.id, command)), ..ticket },
    })
}

/// The message of a domain event of `row`. It is the same each time it is sent.
///
/// # Errors
/// If the saga's input is not of its definition's form.
pub fn domain_event(
    record: &SagaRecord,
    definition: &Definition,
    row: &Row,
    event: &Emitted,
    ticket: Ticket,
) -> Result<Outgoing, serde_json::Error> {
    let saga = record.saga.id;
    let value = wire::domain_event::write(definition, saga, &record.origin.input, event)?;
    let id = wire::domain_event::id(saga, row.seq, &event.topic);
    let mut headers = headers(id, &event.topic, saga, row.at, &record.origin.traceparent);
    headers.push((Cow::Borrowed("ce_sequence"), row.seq.to_string().into_bytes()));
    Ok(Outgoing {
        topic: Arc::from(event.topic.as_str()),
        key: key(saga),
        partition: None,
        value: Some(value),
        headers,
        class: Class::Event,
        ticket,
    })
}

/// A dead letter as a message: as it came, with the reason in `dl_` headers.
pub fn dead_letter(letter: &DeadLetter, ticket: Ticket) -> Outgoing {
    let why = [
        ("dl_topic", letter.topic.clone()),
        ("dl_partition", letter.partition.to_string()),
        ("dl_offset", letter.offset.to_string()),
        ("dl_code", letter.code.clone()),
        ("dl_detail", letter.detail.clone()),
        ("dl_at", letter.at.to_string()),
    ];
    let original = letter.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone()));
    let why = why.into_iter().map(|(name, value)| (Cow::Borrowed(name), value.into_bytes()));
    Outgoing {
        topic: Arc::from(topics::DEAD_LETTERS),
        key: letter.key.clone(),
        partition: None,
        value: letter.value.clone(),
        headers: original.chain(why).collect(),
        class: Class::Event,
        ticket,
    }
}

/// A reply that was read on the wrong partition, on its way to the right one.
pub fn passed_on(reply: &Incoming, to: ShardId, ticket: Ticket) -> Outgoing {
    Outgoing {
        topic: Arc::from(topics::REPLIES),
        key: reply.key.clone(),
        partition: Some(i32::from(to.0)),
        value: reply.value.clone(),
        headers: reply.headers.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect(),
        class: Class::Command,
        ticket,
    }
}
