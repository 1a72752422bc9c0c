//! From a [`Draft`] to a batch, and after its commit: memory, timers, messages, answers.

use std::collections::BTreeMap;

use saga_model::ids::ShardId;
use saga_model::state::{CommandRef, WakeUp};
use saga_model::{Definition, Micros, SagaId};

use super::core::{Barrier, Core, OwnedShard};
use super::departure::{Departure, Leaving, left_out};
use super::draft::{Draft, PassedOn};
use super::messages;
use crate::bus::{MadeOf, Outgoing, Ticket};
use crate::store::rows::{Batch, HistoryRow, LiveSaga, SagaRecord, SagaWrite, ShardUpdate};

/// The next offset to read of each reply partition of which something was read.
pub type ReplyMarks = BTreeMap<ShardId, i64>;

impl Core {
    /// Numbers the rows of a draft and makes it a batch, which takes `read` along: replies that no later batch applies.
    pub fn encode(&self, draft: &mut Draft, read: &ReplyMarks) -> Batch {
        let mut batch = Batch { answers: draft.answers.clone(), ..Batch::default() };
        batch.history.reserve_exact(draft.members.iter().map(|member| member.transitions.len()).sum());
        let mut next: BTreeMap<ShardId, u64> =
            self.shards.iter().map(|(shard, owned)| (*shard, owned.last_seq)).collect();
        let live_from = self.flag(draft, &mut batch);
        for member in &mut draft.members {
            let last = next.entry(member.shard).or_default();
            member.first_seq = *last + 1;
            for (row, _) in &member.transitions {
                *last += 1;
                let row = row.clone();
                batch.history.push(HistoryRow {
                    saga: member.record.saga.id,
                    shard: member.shard,
                    shard_seq: *last,
                    row,
                });
            }
            let write = SagaWrite { lingering: member.lingering, ..SagaWrite::of(&member.record, &member.definition) };
            if member.submission.is_some() { &mut batch.inserts } else { &mut batch.updates }.push(write);
        }
        draft.keys.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        batch.keys = draft.keys.iter().map(|(_, key)| key.clone()).collect();
        batch.dead_letters = draft.dead_letters.iter().map(|(_, letter)| letter.clone()).collect();
        batch.shards = self
            .shards
            .iter()
            .map(|(shard, owned)| ShardUpdate {
                shard: *shard,
                epoch: owned.epoch,
                last_seq: next.get(shard).copied().unwrap_or(owned.last_seq),
                published: owned.watermark.published(),
                reply_offset: owned.reply_mark(read.get(shard).copied(), draft.first_passing(*shard)),
                untaken: owned.untaken.clone(),
                live_from: live_from[shard], // each shard has one
                live_from_before: owned.live_from,
            })
            .collect();
        batch
    }

    /// Whether there is something to store though no saga changes: marks have moved, or a saga is to be flagged.
    pub fn marks_moved(&self, now: Micros) -> bool {
        let moved = self.shards.values().any(|owned| {
            owned.stored.0 != owned.watermark.published()
                || owned.stored.1 != owned.reply_mark(None, None)
                || owned.stored.2 != owned.untaken
        });
        moved || self.to_flag(now)
    }

    /// Takes note of how far replies were read; of those that changed nothing the store learns it by and by.
    pub fn note_read(&mut self, read: &ReplyMarks, now: Micros) {
        for (shard, next) in read {
            if let Some(owned) = self.shards.get_mut(shard) {
                match &mut owned.barrier {
                    // The topic was made anew: an end that was named before is of another one.
                    Barrier::Known { .. } if *next < owned.reply_next => owned.barrier = Barrier::None,
                    Barrier::Known { moved_at, .. } => *moved_at = now,
                    Barrier::Asked { .. } | Barrier::None => {}
                }
                owned.reply_next = *next;
            }
        }
    }

    /// Takes note that marks were stored.
    pub fn marks_stored(&mut self, batch: &Batch, now: Micros) {
        for update in &batch.shards {
            if let Some(owned) = self.shards.get_mut(&update.shard) {
                owned.stored = (update.published, update.reply_offset, update.untaken.clone());
                owned.live_from = update.live_from;
            }
        }
        self.flagged(batch);
        self.stored_at = now;
    }

    /// A draft is stored: memory is replaced, timers are armed. Returns what it sends.
    pub fn settle(&mut self, draft: Draft, batch: &Batch) -> Departure {
        let mut departure = Departure::default();
        self.marks_stored(batch, draft.now);
        for PassedOn { reply, from, to } in &draft.passed_on {
            if let Some(ticket) = self.passing(*from, reply.offset) {
                departure.first.push(messages::passed_on(reply, *to, ticket));
            }
        }
        for (shard, letter) in &draft.dead_letters {
            if let Some(ticket) = self.passing(*shard, letter.offset) {
                departure.first.push(messages::dead_letter(letter, ticket));
            }
        }
        for member in draft.members {
            let (definition, shard) = (member.definition.clone(), member.shard);
            let live = LiveSaga { record: member.record.clone(), lingering: member.lingering };
            let leaving = Leaving::of(member);
            for (seq, messages) in leaving.rows() {
                self.handed_over(shard, seq, messages);
            }
            departure.members.push(leaving);
            if live.record.saga.phase.is_final() {
                self.forget(live.record.saga.id);
            } else {
                self.remember(live, definition, shard, draft.now);
            }
        }
        departure.epochs = self.shards.iter().map(|(shard, owned)| (*shard, owned.epoch)).collect();
        departure
    }

    pub(super) fn ticket(&self, shard: ShardId, made_of: MadeOf) -> Option<Ticket> {
        Some(Ticket { shard, epoch: self.epoch(shard)?, made_of, command: None })
    }

    /// The ticket of a message made of a reply, before which the stored mark stays until the message has left.
    fn passing(&mut self, shard: ShardId, offset: i64) -> Option<Ticket> {
        self.shards.get_mut(&shard)?.passing.insert(offset);
        self.ticket(shard, MadeOf::Reply(offset))
    }

    /// Notes in the watermark of its shard that row `seq` sends that many messages.
    pub(super) fn handed_over(&mut self, shard: ShardId, seq: u64, messages: usize) {
        if let Some(owned) = self.shards.get_mut(&shard) {
            owned.last_seq = owned.last_seq.max(seq);
            owned.watermark.handed_over(seq, u32::try_from(messages).unwrap_or(u32::MAX));
        }
    }
}

/// The command that a saga has in flight.
pub(super) fn pending(record: &SagaRecord, definition: &Definition) -> Option<CommandRef> {
    match record.saga.wake_up(definition)? {
        WakeUp::Reply { command, .. } => Some(command),
        WakeUp::Backoff { .. } => None,
    }
}

/// Adds a message that could be made.
pub(super) fn push(send: &mut Vec<Outgoing>, made: Result<Outgoing, serde_json::Error>, saga: SagaId) {
    match made {
        Ok(message) => send.push(message),
        Err(error) => left_out(saga, &error),
    }
}

impl OwnedShard {
    /// The next reply to read for whoever takes the shard after `read` was applied: before all of which a message has
    /// not left, `passing` among them.
    fn reply_mark(&self, read: Option<i64>, passing: Option<i64>) -> i64 {
        let next = read.unwrap_or(self.reply_next);
        passing.into_iter().chain(self.passing.first().copied()).fold(next, i64::min)
    }
}
