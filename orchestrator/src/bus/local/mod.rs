//! The bus inside one process: `saga dev` without a broker.
//!
//! Messages live in memory, so it forgets everything when the process ends: whoever takes a shard sends all pending
//! commands again ([`Bus::forgets`]). Only what somebody reads is kept, and only until it is read.

mod log;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId, murmur2};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use workers::transport::{Delivery, Position};

use super::{Ack, AckSink, Bus, BusError, Incoming, Outgoing, Progress, Ticket, topics};
use log::Log;

/// See [`Bus`]. All topics have as many partitions as there are shards.
pub struct LocalBus {
    partitions: ShardCount,
    sink: AckSink,
    state: Mutex<State>,
    replied: Notify,
    /// The workers' ends, by topic.
    inputs: OnceLock<BTreeMap<&'static str, UnboundedSender<Delivery>>>,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<(Arc<str>, i32), Log>,
    /// The next offset to read of each assigned reply partition.
    assigned: BTreeMap<ShardId, i64>,
    /// Messages that count as sent only once their reader has finished with them.
    unfinished: BTreeMap<(Arc<str>, i32, i64), Ticket>,
}

/// Topics whose reader has no other memory of them: they are acknowledged when it has finished.
const ACKED_WHEN_DONE: [&str; 1] = ["order.confirmed"];

impl LocalBus {
    pub fn new(partitions: ShardCount, sink: AckSink) -> Self {
        Self { partitions, sink, state: Mutex::default(), replied: Notify::new(), inputs: OnceLock::new() }
    }

    /// Connects the workers' ends. What was sent before is lost to them, so this comes first.
    pub fn connect(&self, inputs: BTreeMap<&'static str, UnboundedSender<Delivery>>) {
        // Connected once; a second time is a mistake in the wiring that changes nothing.
        if self.inputs.set(inputs).is_err() {
            tracing::error!("The workers are connected already");
        }
    }

    /// Takes in what the workers answer, until they have ended.
    pub async fn answers(self: Arc<Self>, mut answers: UnboundedReceiver<Vec<workers::transport::Outgoing>>) {
        while let Some(batch) = answers.recv().await {
            let mut state = self.lock();
            // Dead letters of workers are in the list already; nobody reads their topic here.
            for answer in batch.into_iter().filter(|answer| answer.topic == topics::REPLIES) {
                let partition = self.partition(answer.key.as_deref());
                let incoming =
                    Incoming { partition, offset: 0, key: answer.key, value: answer.value, headers: answer.headers };
                state.log(topics::REPLIES, partition).keep(incoming);
            }
            drop(state);
            self.replied.notify_one();
        }
    }

    /// A reader has finished with everything before a position.
    pub fn done(&self, position: &Position) {
        let first = (position.topic.clone(), position.partition, i64::MIN);
        let next = (position.topic.clone(), position.partition, position.next);
        let mut state = self.lock();
        let done: Vec<_> =
            state.unfinished.range(first..next).map(|(place, ticket)| (place.clone(), *ticket)).collect();
        for (place, _) in &done {
            state.unfinished.remove(place);
        }
        drop(state);
        for ((_, partition, offset), ticket) in done {
            (self.sink)(Ack { ticket, partition, offset });
        }
    }

    fn partition(&self, key: Option<&[u8]>) -> i32 {
        let hash = murmur2(key.unwrap_or_default()) & 0x7fff_ffff;
        (hash % u32::from(self.partitions.get())) as i32 // below 64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Changes are made whole: a panic elsewhere cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message to its reader, if it has one. `true` if it counts as sent at once.
    fn hand_over(&self, state: &mut State, message: Outgoing, partition: i32) -> (i64, bool) {
        let input = self.inputs.get().and_then(|inputs| inputs.get(message.topic.as_ref()));
        let headers = || message.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let log = state.log(&message.topic, partition);
        if message.topic.as_ref() == topics::REPLIES {
            let headers = headers();
            let incoming = Incoming { partition, offset: 0, key: message.key, value: message.value, headers };
            return (log.keep(incoming), true);
        }
        let offset = log.pass();
        let Some(input) = input else { return (offset, true) };
        let waits = ACKED_WHEN_DONE.contains(&message.topic.as_ref());
        if waits {
            state.unfinished.insert((message.topic.clone(), partition, offset), message.ticket);
        }
        let headers = headers();
        let Outgoing { topic, key, value, .. } = message;
        // The workers have ended: the process ends too, and all is sent again after its start.
        let _ended = input.send(Delivery { topic, partition, offset, key, value, headers });
        (offset, !waits)
    }
}

impl State {
    fn log(&mut self, topic: &str, partition: i32) -> &mut Log {
        self.logs.entry((Arc::from(topic), partition)).or_default()
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn send(&self, messages: Vec<Outgoing>) {
        let mut acks = Vec::with_capacity(messages.len());
        let mut state = self.lock();
        for message in messages {
            let partition = message.partition.unwrap_or_else(|| self.partition(message.key.as_deref()));
            let ticket = message.ticket;
            let (offset, sent) = self.hand_over(&mut state, message, partition);
            if sent {
                acks.push(Ack { ticket, partition, offset });
            }
        }
        drop(state);
        self.replied.notify_one();
        acks.into_iter().for_each(|ack| (self.sink)(ack));
    }

    fn unacked(&self) -> usize {
        self.lock().unfinished.len()
    }

    fn forgets(&self) -> bool {
        true
    }

    fn assign_replies(&self, shard: ShardId, offset: i64) {
        let mut state = self.lock();
        let next = state.log(topics::REPLIES, i32::from(shard.0)).read_from(offset);
        state.assigned.insert(shard, next);
        drop(state);
        self.replied.notify_one();
    }

    fn unassign_replies(&self, shard: ShardId) {
        self.lock().assigned.remove(&shard);
    }

    async fn next_replies(&self) -> Vec<(ShardId, Incoming)> {
        loop {
            let replied = self.replied.notified();
            let mut found = Vec::new();
            {
                let mut state = self.lock();
                let assigned: Vec<_> = state.assigned.iter().map(|(shard, next)| (*shard, *next)).collect();
                for (shard, next) in assigned {
                    let read = state.log(topics::REPLIES, i32::from(shard.0)).read(next);
                    if let Some(last) = read.last() {
                        state.assigned.insert(shard, last.offset + 1);
                    }
                    found.extend(read.into_iter().map(|incoming| (shard, incoming)));
                }
            }
            if !found.is_empty() {
                return found;
            }
            replied.await;
        }
    }

    async fn reply_end(&self, shard: ShardId) -> Result<i64, BusError> {
        Ok(self.lock().log(topics::REPLIES, i32::from(shard.0)).end())
    }

    /// A command is taken when it is handed over.
    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError> {
        let mut state = self.lock();
        let progress = (0..i32::from(self.partitions.get())).map(|partition| {
            let end = state.log(topic, partition).end();
            Progress { partition, begin: 0, end, committed: Some(end) }
        });
        Ok(progress.collect())
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn flush(&self, _at_most: Duration) {}
}
