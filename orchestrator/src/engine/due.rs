//! What falls due: timers become inputs, looks at the broker become timers.

use std::collections::BTreeSet;

use saga_model::Micros;
use saga_model::event::{Actor, Event};
use saga_model::ids::ShardId;
use saga_model::state::{CommandRef, WakeUp};
use saga_model::wire::SagaInput;

use super::core::{Barrier, Core, OwnedShard};
use super::input::Input;
use super::messages;
use super::settle::push;
use super::taken::Waiting;
use super::timers::TimerKind;
use crate::bus::{Ack, MadeOf, NoReplyEnd, Outgoing, Progress};

/// Timers that one turn fires at most.
const MAX_DUE: usize = 2_048;

/// How long (in microseconds) a deadline waits for a reply partition to be read: it counts, broker or not.
const DEADLINE_PATIENCE: i64 = 5_000_000;

/// What a reply partition held when its end was named has been given out by then, and is soon applied. If for so long
/// (in microseconds) none of it is, the topic is another one now, and its end is asked for again.
const APPLIED_WITHIN: i64 = 15_000_000;

/// The same (in microseconds) though some replies are applied all the time: they may be of another topic.
const ALL_APPLIED_WITHIN: i64 = 300_000_000;

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
        let mut ask = BTreeSet::new();
        for kind in TimerKind::ALL {
            self.due_of(kind, now, &mut due.inputs, &mut ask);
        }
        // Only now: what one kind has to ask is no reason for another to wait.
        for shard in ask {
            if let Some(owned) = self.shards.get_mut(&shard) {
                owned.barrier = Barrier::Asked { at: now };
                due.ask_reply_end.push((shard, owned.epoch));
            }
        }
        due
    }

    fn due_of(&self, kind: TimerKind, now: Micros, inputs: &mut Vec<Input>, ask: &mut BTreeSet<ShardId>) {
        // Where one waits, the later ones wait too. They stay in front of those of other shards, so they do not count.
        let mut waiting = BTreeSet::new();
        for (at, saga) in self.timers.due(kind, now) {
            let nothing_fires = kind == TimerKind::NoAnswer && waiting.len() == self.shards.len();
            if nothing_fires || inputs.len() == MAX_DUE {
                break;
            }
            let Some(live) = self.sagas.get(&saga) else { continue };
            if kind.yields_to_replies() {
                let shard = live.shard;
                let owned = self.shards.get(&shard).filter(|_| !waiting.contains(&shard));
                let read = owned.map_or(Read::NotYet, |owned| owned.read_since(at, now));
                if read != Read::All {
                    waiting.insert(shard);
                    if read == Read::Unknown {
                        ask.insert(shard);
                    }
                    if kind != TimerKind::Deadline || now.since(at) < DEADLINE_PATIENCE {
                        continue;
                    }
                }
            }
            let event = match (kind, live.record.saga.wake_up(&live.definition)) {
                (TimerKind::Deadline, _) => Event::DeadlinePassed,
                (TimerKind::Backoff, Some(WakeUp::Backoff { command, .. })) => Event::BackoffOver(command),
                (TimerKind::NoAnswer, Some(WakeUp::Reply { command, .. })) => Event::NoAnswer(command),
                (TimerKind::Backoff | TimerKind::NoAnswer, _) => continue, // never armed so
            };
            inputs.push(Input::Internal { saga, event, actor: Actor::Timer });
        }
    }

    /// The end of a reply partition that was asked for.
    pub fn note_reply_end(&mut self, shard: ShardId, epoch: u64, end: Result<i64, NoReplyEnd>, now: Micros) {
        // One that was asked for before the shard was taken again says nothing about a question of now.
        let Some(owned) = self.shards.get_mut(&shard).filter(|owned| owned.epoch == epoch) else { return };
        if let Err(NoReplyEnd::MadeAnew { end }) = end
            && owned.reply_next > end
        {
            owned.reply_next = 0; // of another topic: nothing of this one was applied
        }
        if let Barrier::Asked { at } = owned.barrier {
            owned.barrier = match end {
                Ok(end) => Barrier::Known { asked_at: at, end, moved_at: now },
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
            self.taken.acked(&topic, ack.partition, ack.offset, Waiting { saga, command });
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
        let mut send = Vec::new();
        for waiting in look.lost {
            self.send_again(waiting.saga, waiting.command, &mut send);
        }
        send
    }

    pub(super) fn send_again(&self, saga: saga_model::SagaId, command: CommandRef, send: &mut Vec<Outgoing>) {
        if let Some(live) = self.sagas.get(&saga)
            && let Some(ticket) = self.ticket(live.shard, MadeOf::Again)
        {
            tracing::debug!(saga.id = %saga, attempt = command.attempt, "A command was lost and is sent again");
            let input = SagaInput::new(&live.record.origin.input);
            push(send, messages::command(&live.record, &input, &live.definition, command, ticket), saga);
        }
    }
}

/// Whether the replies of a shard have been applied as far as they went when a timer fell due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    All,
    NotYet,
    /// Where they end has to be asked for.
    Unknown,
}

impl OwnedShard {
    fn read_since(&self, due: Micros, now: Micros) -> Read {
        match self.barrier {
            Barrier::Known { asked_at, end, .. } if due <= asked_at && self.reply_next >= end => Read::All,
            Barrier::Known { asked_at, end, moved_at }
                if self.reply_next < end
                    && now.since(moved_at) < APPLIED_WITHIN
                    && now.since(asked_at) < ALL_APPLIED_WITHIN =>
            {
                Read::NotYet
            }
            // A timer that fell due later waits for the next barrier.
            Barrier::Known { .. } | Barrier::None => Read::Unknown,
            Barrier::Asked { .. } => Read::NotYet,
        }
    }
}
