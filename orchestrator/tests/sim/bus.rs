//! The bus of one instance: what it sends stands in the topics at once, and what it hears of that comes later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator::bus::{
    Ack, AckSink, Bus, BusError, Incoming, NoReplyEnd, Outgoing, Progress, Ticket, Undelivered, topics,
};
use orchestrator::engine::Acks;
use saga_model::ids::ShardId;
use service::kafka::topics::ORDER_CONFIRMED;

use super::bugs::Bug;
use super::fault::Fault;
use super::ground::{Ground, short};
use super::life::Life;
use super::net::{COMMAND_TOPICS, Message, garbage};

/// See [`Bus`].
pub struct SimBus {
    ground: Arc<Ground>,
    life: Arc<Life>,
    sink: AckSink,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Acknowledgements that it has not heard of.
    unheard: Vec<Ack>,
    /// The next offset to read of each assigned reply partition.
    assigned: BTreeMap<ShardId, i64>,
    /// Commands that the broker does not have yet.
    held: Vec<(usize, Message, Ticket)>,
    /// Too much is on its way out.
    full: bool,
}

impl SimBus {
    pub fn new(ground: Arc<Ground>, life: Arc<Life>, acks: &Arc<Acks>) -> Self {
        Self { ground, life, sink: acks.sink(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next replies of one of its partitions, at most `most`.
    pub fn read(&self, most: usize) -> Vec<(ShardId, Incoming)> {
        let mut state = self.lock();
        let net = self.ground.net();
        let mut found = Vec::new();
        for (shard, next) in &mut state.assigned {
            let log = &net.replies[usize::from(shard.0)];
            let from = usize::try_from(*next).unwrap_or(0).min(log.len());
            let read = log[from..].iter().take(most - found.len());
            found.extend(read.map(|incoming| (*shard, incoming.clone())));
            *next = found.last().filter(|(of, _)| of == shard).map_or(*next, |(_, last)| last.offset + 1);
            self.life.reads(*shard, *next);
        }
        found
    }

    /// Hears of what the broker has; of a part of it if acknowledgements are late.
    pub fn hear(&self) {
        self.let_go();
        let heard: Vec<Ack> = {
            let mut state = self.lock();
            let mut chance = self.ground.chance();
            let late = state.unheard.len() > 1 && chance.hit(Fault::LateAcks);
            let keep = if late { chance.rng.usize(1..state.unheard.len()) } else { 0 };
            let count = state.unheard.len() - keep;
            // In any order: each partition of each topic answers for itself.
            let at = if late { chance.rng.usize(..=keep) } else { 0 };
            state.unheard.drain(at..at + count).collect()
        };
        heard.into_iter().for_each(|ack| (self.sink)(ack));
    }

    /// Commands that were late arrive, in any order; some only later.
    fn let_go(&self) {
        let mut state = self.lock();
        while !state.held.is_empty() && self.ground.chance().goes_on(4) {
            let at = self.ground.chance().rng.usize(..state.held.len());
            let (place, message, ticket) = state.held.swap_remove(at);
            let (partition, offset) = self.ground.net().command(place, message);
            state.unheard.push(Ack { ticket, partition: partition as i32, offset: offset as i64 });
        }
    }

    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Puts one message where it is read; where that is, if it is there already.
    fn put(&self, message: Outgoing) -> Option<Ack> {
        let Outgoing { topic, key, partition, value, headers, ticket, .. } = message;
        let ack =
            |partition: usize, offset: usize| Some(Ack { ticket, partition: partition as i32, offset: offset as i64 });
        if let Some(place) = COMMAND_TOPICS.iter().position(|name| **name == *topic) {
            self.ground.oracle().command(&self.ground, ticket.command);
            if self.ground.has(Bug::CommandNotSent) && self.ground.chance().one_in(4) {
                return ack(0, self.ground.net().commands[place][0].messages.len());
            }
            let twice = self.ground.hit(Fault::CommandTwice);
            let bad = self.ground.hit(Fault::CommandGarbage);
            let late = self.ground.hit(Fault::CommandLate);
            let mut net = self.ground.net();
            let message = Message { key, value, headers, command: ticket.command };
            if bad {
                net.command(place, garbage(message.key.clone()));
            }
            if twice {
                net.command(place, message.clone());
            }
            if late {
                drop(net);
                self.lock().held.push((place, message, ticket));
                return None;
            }
            let (partition, offset) = net.command(place, message);
            return ack(partition, offset);
        }
        if *topic == *topics::REPLIES {
            let shard = ShardId(partition.and_then(|partition| u16::try_from(partition).ok()).unwrap_or(0));
            let incoming = Incoming { partition: 0, offset: 0, key, value, headers };
            let offset = self.ground.net().reply(shard, incoming);
            return ack(usize::from(shard.0), usize::try_from(offset).unwrap_or(0));
        }
        if *topic == *topics::DEAD_LETTERS {
            let number = |name| headers.text(name).and_then(|text| text.parse::<i64>().ok());
            let place = number("dl_partition").and_then(|shard| u16::try_from(shard).ok()).zip(number("dl_offset"));
            self.ground.net().letters.extend(place.map(|(shard, offset)| (ShardId(shard), offset)));
            return ack(0, 0);
        }
        if self.ground.has(Bug::EventNotSent) && self.ground.chance().one_in(4) {
            return ack(0, 0);
        }
        self.ground.oracle().event(&self.ground, &topic, value.as_deref().unwrap_or_default(), &headers);
        if *topic == *ORDER_CONFIRMED {
            let message = Message { key, value, headers, command: None };
            return ack(0, self.ground.net().confirm(message));
        }
        ack(0, 0)
    }

    fn spoil(&self, messages: &mut [Outgoing]) {
        if self.ground.has(Bug::EventsOutOfOrder) {
            messages.reverse();
        }
        if self.ground.has(Bug::EventDiffers) {
            for message in messages.iter_mut().filter(|message| message.ticket.command.is_none()) {
                let epoch = message.ticket.epoch;
                message.value = message.value.take().map(|mut value| {
                    value.truncate(value.len().saturating_sub(1));
                    value.extend_from_slice(format!(",\"epoch\":{epoch}}}").as_bytes());
                    value
                });
            }
        }
    }
}

#[async_trait]
impl Bus for SimBus {
    fn send(&self, mut messages: Vec<Outgoing>) {
        if self.life.is_over() || messages.is_empty() {
            return;
        }
        self.spoil(&mut messages);
        if self.ground.hit(Fault::CrashWhileSending) {
            let sent = self.ground.chance().rng.usize(..messages.len());
            messages.truncate(sent);
            self.life.end();
        }
        for message in messages {
            self.ground.tell(|| {
                let of = message.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).map(short);
                let what = message
                    .ticket
                    .command
                    .map(|(_, c)| format!(" {:?} round {} attempt {}", c.kind, c.round, c.attempt));
                format!(
                    "{} sends {}{} for {}",
                    self.life,
                    message.topic,
                    what.unwrap_or_default(),
                    of.unwrap_or_default()
                )
            });
            let ack = self.put(message);
            self.lock().unheard.extend(ack);
        }
        if !self.life.is_over() && self.ground.hit(Fault::CrashBeforeAck) {
            self.life.end();
        }
    }

    fn unacked(&self) -> usize {
        let state = self.lock();
        if state.full { usize::MAX } else { state.unheard.len() + state.held.len() }
    }

    fn assign_replies(&self, shard: ShardId, offset: i64) {
        self.lock().assigned.insert(shard, offset);
    }

    fn unassign_replies(&self, shard: ShardId) {
        self.lock().assigned.remove(&shard);
    }

    async fn next_replies(&self) -> Vec<(ShardId, Incoming)> {
        // The world hands replies over by itself.
        std::future::pending().await
    }

    async fn reply_end(&self, shard: ShardId) -> Result<i64, NoReplyEnd> {
        if self.ground.hit(Fault::BrokerSilent) {
            return Err(BusError("it says nothing".to_owned()).into());
        }
        let asked_at = self.life.now();
        let end = if self.ground.has(Bug::TimersWaitForNobody) { 0 } else { self.ground.net().reply_end(shard) };
        let honest = self.ground.net().reply_end(shard);
        if self.ground.hit(Fault::LateReplyEnd) {
            let millis = self.ground.chance().rng.u64(1..2_000);
            // By the runtime's clock, which is paused and moves when the world says so: nobody really waits.
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        self.life.asked(shard, asked_at, honest);
        Ok(end)
    }

    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError> {
        if self.ground.hit(Fault::BrokerSilent) {
            return Err(BusError("it says nothing".to_owned()));
        }
        let Some(place) = COMMAND_TOPICS.iter().position(|name| *name == topic) else { return Ok(Vec::new()) };
        let net = self.ground.net();
        let all = self.ground.has(Bug::TakenAtOnce);
        let seen = net.commands[place].iter().enumerate().map(|(partition, log)| Progress {
            partition: partition as i32,
            begin: log.begin as i64,
            end: log.messages.len() as i64,
            committed: Some(if all { log.messages.len() } else { log.committed } as i64),
        });
        Ok(seen.collect())
    }

    async fn deliver(&self, _: orchestrator::bus::Message) -> Result<(), Undelivered> {
        Err(Undelivered::Away("no operator of a simulated world replays dead letters".to_owned()))
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn flush(&self, _at_most: Duration) {}
}
