//! The messages of a transition: commands, domain events, dead letters.

use std::sync::Arc;

use saga_model::history::{Emitted, Row};
use saga_model::ids::{ID_BYTES, ShardId};
use saga_model::state::{CommandRef, WakeUp};
use saga_model::wire::{self, SagaInput};
use saga_model::{Definition, SagaId};
use service::cloudevents::CloudEvent;
use service::kafka::{self, Diagnosis};

use super::trace;
use crate::bus::{Class, Incoming, Message, Outgoing, Ticket, topics};
use crate::store::rows::{DeadLetter, SagaRecord};

fn key(saga: SagaId) -> Option<Vec<u8>> {
    Some(saga.encode(&mut [0; ID_BYTES]).into())
}

/// The message of a command, `input` being that of its saga. Sent again, as the same attempt, it is the same but for
/// `epoch`.
///
/// # Errors
/// If the saga's input is not of its definition's form.
pub fn command<'a>(
    record: &'a SagaRecord,
    input: &SagaInput<'a>,
    definition: &Definition,
    command: CommandRef,
    ticket: Ticket,
) -> Result<Outgoing, serde_json::Error> {
    let saga = &record.saga;
    let sent_at = match saga.wake_up(definition) {
        Some(WakeUp::Reply { sent_at, .. }) => sent_at,
        Some(WakeUp::Backoff { .. }) | None => saga.updated_at,
    };
    let step = definition.step(command.step);
    let value = wire::command::write(definition, saga, input, command, ticket.epoch)?;
    let id = wire::command::id(saga.id, &step.name, command);
    let trace = trace::place_of(record, command);
    let event = CloudEvent {
        id,
        topic: &step.topic,
        saga: saga.id,
        time: sent_at,
        sequence: None,
        trace,
        definition: Some(definition.name()),
    };
    Ok(Outgoing {
        topic: Arc::from(step.topic.as_str()),
        key: key(saga.id),
        partition: None,
        value: Some(value),
        headers: event.headers(),
        class: Class::Command,
        ticket: Ticket { command: Some((saga.id, command)), ..ticket },
    })
}

/// The message of a domain event of `row`, `input` being that of its saga. It is the same each time it is sent.
///
/// # Errors
/// If the saga's input is not of its definition's form.
pub fn domain_event(
    record: &SagaRecord,
    input: &SagaInput<'_>,
    definition: &Definition,
    row: &Row,
    event: &Emitted,
) -> Result<Message, serde_json::Error> {
    let saga = record.saga.id;
    let value = wire::domain_event::write(definition, saga, input, event)?;
    let topic = event.topic.as_str();
    let event = CloudEvent {
        id: wire::domain_event::id(saga, row.seq, topic),
        topic,
        saga,
        time: row.at,
        sequence: Some(u64::from(row.seq)),
        trace: trace::root(record),
        definition: None,
    };
    Ok(Message { topic: Arc::from(topic), key: key(saga), value: Some(value), headers: event.headers() })
}

/// A dead letter as a message: as it came (cut where it could not be sent), with the reason in `dl_` headers.
pub fn dead_letter(letter: &DeadLetter, ticket: Ticket) -> Outgoing {
    let DeadLetter { topic, partition, offset, code, detail, at, .. } = letter;
    let diagnosis = Diagnosis { topic, partition: *partition, offset: *offset, code, detail, at: *at };
    let (key, value, headers) = (letter.key.clone(), letter.value.clone(), letter.headers.clone());
    let kafka::DeadLetter { key, value, headers } = kafka::DeadLetter::new(&diagnosis, key, value, headers);
    Message { topic: Arc::from(topics::DEAD_LETTERS), key, value, headers }.as_event(ticket)
}

/// A reply that was read on the wrong partition, on its way to the right one.
pub fn passed_on(reply: &Incoming, to: ShardId, ticket: Ticket) -> Outgoing {
    Outgoing {
        topic: Arc::from(topics::REPLIES),
        key: reply.key.clone(),
        partition: Some(i32::from(to.0)),
        value: reply.value.clone(),
        headers: reply.headers.clone(),
        class: Class::Command,
        ticket,
    }
}
