//! What falls due: timers become inputs, looks at the broker become timers.

use saga_model::Micros;
use saga_model::event::{Actor, Event};
use saga_model::ids::ShardId;
use saga_model::state::{CommandRef, WakeUp};

use super::core::{Barrier, Core};
use super::input::Input;
use super::messages;
use super::settle::push;
use super::taken::Waiting;
use super::timers::TimerKind;
use crate::bus::{Ack, BusError, MadeOf, Outgoing, Progress};

/// Timers that one turn fires at most.
const MAX_DUE: usize = 2_048;

/// How long (in microseconds) a deadline waits for a reply partition to be read: it counts, broker or not.
const DEADLINE_PATIENCE: i64 = 5_000_000;

/// What a reply partition held when its end was named has been given out by then, and is soon applied. If not after so
/// long (in microseconds), the topic is another one now, and its end is asked for again.
const APPLIED_WITHIN: i64 = 15_000_000;

/// A command that waits for a worker no longer than this (in microseconds) is on its way.
const ORDINARY_WAIT: i64 = 1_000_000;

/// The timers that fire now, and the shards whose reply end has to be asked for first.
#[derive(Debug, Default)]
pub struct Due {
    pub inputs: Vec<Input>,
    /// With the epochs at which they are owned.
    pub ask_reply_end: Vec<(ShardId, u64)>,
}

impl Core {
    /// The timers that fire at `now`. One that an answer could make moot waits until the reply partition of its
    /// shard has been read up to an end seen after it fell due; the saga's deadline not for ever.
    pub fn due(&mut self, now: Micros) -> Due {
        let mut due = Due::default();
        let candidates: Vec<_> = self.timers.due(now).take(MAX_DUE).collect();
        for (at, saga, kind) in candidates {
            let Some(live) = self.sagas.get(&saga) else { continue };
            let shard = live.shard;
            if kind.yields_to_replies()
                && !self.replies_read_since(shard, at, now, &mut due.ask_reply_end)
                && (kind != TimerKind::Deadline || now.since(at) < DEADLINE_PATIENCE)
            {
                continue;
            }
            let Some(live) = self.sagas.get(&saga) else { continue };
            let event = match (kind, live.record.saga.wake_up(&live.definition)) {
                (TimerKind::Deadline, _) => Event::DeadlinePassed,
                (TimerKind::Backoff, Some(WakeUp::Backoff { command, .. })) => Event::BackoffOver(command),
                (TimerKind::NoAnswer, Some(WakeUp::Reply { command, .. })) => Event::NoAnswer(command),
                (TimerKind::Backoff | TimerKind::NoAnswer, _) => continue, // never armed so
            };
            due.inputs.push(Input::Internal { saga, event, actor: Actor::Timer });
        }
        due
    }

    fn replies_read_since(&mut self, shard: ShardId, due: Micros, now: Micros, ask: &mut Vec<(ShardId, u64)>) -> bool {
        let Some(owned) = self.shards.get_mut(&shard) else { return false };
        match owned.barrier {
            Barrier::Known { asked_at, end } if due <= asked_at && owned.reply_next >= end => true,
            Barrier::Known { asked_at, end } if owned.reply_next < end && now.since(asked_at) < APPLIED_WITHIN => false,
            // A timer that fell due later waits for the next barrier.
            Barrier::Known { .. } | Barrier::None => {
                owned.barrier = Barrier::Asked { at: now };
                ask.push((shard, owned.epoch));
                false
            }
            Barrier::Asked { .. } => false,
        }
    }

    /// The end of a reply partition that was asked for.
    pub fn note_reply_end(&mut self, shard: ShardId, epoch: u64, end: Result<i64, BusError>) {
        // One that was asked for before the shard was taken again says nothing about a question of now.
        if let Some(owned) = self.shards.get_mut(&shard).filter(|owned| owned.epoch == epoch)
            && let Barrier::Asked { at } = owned.barrier
        {
            owned.barrier = match end {
                Ok(end) => Barrier::Known { asked_at: at, end },
                Err(_) => Barrier::None, // asked again at the next turn
            };
        }
    }

    /// When the loop has to look again, if nothing comes in before.
    pub fn next_due(&self, now: Micros) -> Option<Micros> {
        self.timers.next_after(now)
    }

    /// The broker has a message.
    pub fn note_ack(&mut self, ack: &Ack) {
        let ticket = &ack.ticket;
        let Some(owned) = self.shards.get_mut(&ticket.shard).filter(|owned| owned.epoch == ticket.epoch) else {
            return;
        };
        match ticket.made_of {
            MadeOf::Row(seq) => owned.watermark.acked(seq),
            MadeOf::Reply(offset) => drop(owned.passing.remove(&offset)),
            MadeOf::Again => {}
        }
        if let Some((saga, command)) = ticket.command
            && self.still_asks(saga, command)
            && let Some(live) = self.sagas.get(&saga)
        {
            let topic = live.definition.step(command.step).topic.clone();
            let waiting = Waiting { saga, command, sent_at: live.record.saga.updated_at };
            self.taken.acked(&topic, ack.partition, ack.offset, waiting);
        }
    }

    /// How far the workers of a topic have come. Returns the commands that the topic has lost: they are sent
    /// again, as the same attempt.
    pub fn note_progress(&mut self, topic: &str, progress: &[Progress], now: Micros) -> Vec<Outgoing> {
        let mut taken = std::mem::take(&mut self.taken);
        let look = taken.look(topic, progress, |waiting| self.still_asks(waiting.saga, waiting.command));
        self.taken = taken;
        for waiting in look.taken {
            self.note_taken(waiting.saga, waiting.command, now);
        }
        self.note_untaken(topic, now);
        let mut send = Vec::new();
        for waiting in look.lost {
            self.send_again(waiting.saga, waiting.command, &mut send);
        }
        send
    }

    /// Notes since when commands of each shard wait for a worker of `topic`, unless it is the ordinary moment.
    fn note_untaken(&mut self, topic: &str, now: Micros) {
        let count = self.shard_count;
        for (shard, owned) in &mut self.shards {
            let oldest = self.taken.oldest(topic, |saga| saga.slot().shard(count) == *shard);
            match oldest.filter(|since| now.since(*since) >= ORDINARY_WAIT) {
                Some(since) => owned.untaken.insert(topic.to_owned(), since),
                None => owned.untaken.remove(topic),
            };
        }
    }

    pub(super) fn send_again(&self, saga: saga_model::SagaId, command: CommandRef, send: &mut Vec<Outgoing>) {
        if let Some(live) = self.sagas.get(&saga)
            && let Some(ticket) = self.ticket(live.shard, MadeOf::Again)
        {
            tracing::debug!(saga.id = %saga, attempt = command.attempt, "A command was lost and is sent again");
            push(send, messages::command(&live.record, &live.definition, command, ticket), saga);
        }
    }
}
