//! What a stored batch sends. Its messages are written and handed over while the database stores the next batch, or
//! at once if nothing waits to be stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_model::effect::Effect;
use saga_model::history::{Emitted, Row};
use saga_model::ids::ShardId;
use saga_model::state::CommandRef;
use saga_model::wire::SagaInput;
use saga_model::{Definition, SagaId};

use super::commit_loop::Acks;
use super::draft::Member;
use super::messages;
use super::settle::pending;
use crate::bus::{Ack, Bus, MadeOf, Outgoing, Ticket};
use crate::store::rows::SagaRecord;

/// The messages of one stored batch, not written yet.
#[derive(Default)]
pub struct Departure {
    /// Dead letters and replies passed on.
    pub first: Vec<Outgoing>,
    pub members: Vec<Leaving>,
    /// Of the shards at the commit.
    pub epochs: BTreeMap<ShardId, u64>,
}

/// What one saga of the batch sends.
pub struct Leaving {
    record: SagaRecord,
    definition: Arc<Definition>,
    shard: ShardId,
    first_seq: u64,
    rows: Vec<(Arc<Row>, Vec<Sending>)>,
}

/// What a message is to tell.
enum Sending {
    Command(CommandRef),
    Event(Emitted),
}

impl Leaving {
    pub fn of(member: Member) -> Self {
        let Member { record, definition, shard, first_seq, transitions, .. } = member;
        let pending = pending(&record, &definition);
        let sending = |effect| match effect {
            // Of commands only the latest is still asked; an earlier one of the same batch has had its answer.
            Effect::Send(command) => (pending == Some(command)).then_some(Sending::Command(command)),
            Effect::Emit { topic, reason } => Some(Sending::Event(Emitted { topic, reason })),
            Effect::Finish(_) => None,
        };
        let rows =
            transitions.into_iter().map(|(row, effects)| (row, effects.into_iter().filter_map(sending).collect()));
        Self { rows: rows.collect(), record, definition, shard, first_seq }
    }

    /// How many messages each of its rows sends, by `shard_seq`.
    pub fn rows(&self) -> impl Iterator<Item = (u64, usize)> {
        (self.first_seq..).zip(self.rows.iter().map(|(_, sending)| sending.len()))
    }

    fn message<'a>(
        &'a self,
        input: &SagaInput<'a>,
        row: &Row,
        sending: &Sending,
        ticket: Ticket,
    ) -> Result<Outgoing, serde_json::Error> {
        let Self { record, definition, .. } = self;
        match sending {
            Sending::Command(command) => messages::command(record, input, definition, *command, ticket),
            Sending::Event(event) => {
                let message = messages::domain_event(record, input, definition, row, event);
                message.map(|message| message.as_event(ticket))
            }
        }
    }
}

impl Departure {
    /// Writes the messages and hands them over, in order.
    pub fn leave(self, bus: &dyn Bus, acks: &Acks) {
        let mut send = self.first;
        let more = self.members.iter().flat_map(Leaving::rows).map(|(_, messages)| messages);
        send.reserve_exact(more.sum());
        for leaving in &self.members {
            let Some(epoch) = self.epochs.get(&leaving.shard) else { continue };
            let input = SagaInput::new(&leaving.record.origin.input);
            for (shard_seq, (row, sendings)) in (leaving.first_seq..).zip(&leaving.rows) {
                let made_of = MadeOf::Row(shard_seq);
                let ticket = Ticket { shard: leaving.shard, epoch: *epoch, made_of, command: None };
                for sending in sendings {
                    match leaving.message(&input, row, sending, ticket) {
                        Ok(message) => send.push(message),
                        // It was counted, and nobody else will say that it has left.
                        Err(error) => {
                            left_out(leaving.record.saga.id, &error);
                            acks.push(Ack { ticket, partition: -1, offset: -1 });
                        }
                    }
                }
            }
        }
        bus.send(send);
    }
}

/// A message that cannot be made is a bug, not a reason to stop the others.
pub(super) fn left_out(saga: SagaId, error: &serde_json::Error) {
    tracing::error!(saga.id = %saga, %error, "A message could not be written; it is left out");
}
