//! What a stored batch sends. Its messages are written and handed over while the database stores the next batch, or
//! at once if nothing waits to be stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_model::effect::Effect;
use saga_model::history::{Emitted, Row};
use saga_model::ids::ShardId;
use saga_model::state::CommandRef;
use saga_model::{Definition, SagaId};

use super::commit_loop::Acks;
use super::draft::Member;
use super::messages;
use super::settle::pending;
use crate::bus::{Ack, Bus, Outgoing, Ticket};
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
    transitions: Vec<(Row, Vec<Effect>)>,
    pending: Option<CommandRef>,
}

impl Leaving {
    pub fn of(member: Member) -> Self {
        let Member { record, definition, shard, first_seq, transitions, .. } = member;
        let pending = pending(&record, &definition);
        Self { record, definition, shard, first_seq, transitions, pending }
    }

    /// How many messages each of its rows sends, by `shard_seq`.
    pub fn rows(&self) -> impl Iterator<Item = (u64, usize)> {
        let count = |effects: &Vec<Effect>| effects.iter().filter(|effect| self.sends(effect)).count();
        (self.first_seq..).zip(self.transitions.iter().map(move |(_, effects)| count(effects)))
    }

    /// Of commands only the latest is still asked; an earlier one of the same batch has had its answer.
    fn sends(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Send(command) => self.pending == Some(*command),
            Effect::Emit { .. } => true,
            Effect::Finish(_) => false,
        }
    }

    fn message(&self, row: &Row, effect: &Effect, ticket: Ticket) -> Option<Result<Outgoing, serde_json::Error>> {
        match effect {
            Effect::Send(command) => Some(messages::command(&self.record, &self.definition, *command, ticket)),
            Effect::Emit { topic, reason } => {
                let event = Emitted { topic: topic.clone(), reason: reason.clone() };
                Some(messages::domain_event(&self.record, &self.definition, row, &event, ticket))
            }
            Effect::Finish(_) => None,
        }
    }
}

impl Departure {
    /// Writes the messages and hands them over, in order.
    pub fn leave(self, bus: &dyn Bus, acks: &Acks) {
        let mut send = self.first;
        for leaving in &self.members {
            let Some(epoch) = self.epochs.get(&leaving.shard) else { continue };
            for (shard_seq, (row, effects)) in (leaving.first_seq..).zip(&leaving.transitions) {
                let shard_seq = Some(shard_seq);
                let ticket = Ticket { shard: leaving.shard, epoch: *epoch, shard_seq, command: None };
                for effect in effects.iter().filter(|effect| leaving.sends(effect)) {
                    match leaving.message(row, effect, ticket) {
                        Some(Ok(message)) => send.push(message),
                        // It was counted, and nobody else will say that it has left.
                        Some(Err(error)) => {
                            left_out(leaving.record.saga.id, &error);
                            acks.push(Ack { ticket, partition: -1, offset: -1 });
                        }
                        None => {}
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
