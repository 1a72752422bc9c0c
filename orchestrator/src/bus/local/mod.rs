//! The bus inside one process: `saga dev` without a broker.
//!
//! Messages live in memory, so it forgets everything when the process ends: whoever takes a shard sends all pending
//! commands again ([`Bus::forgets`]). Only what somebody reads is kept, and only until it is read.

mod log;
mod single;
mod topic;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId, partition_of};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use workers::transport::{Delivery, Position};

use self::log::Log;
use self::topic::Topic;
use super::unacked::Unacked;
use super::{
    Ack, AckSink, Bus, BusError, Class, Incoming, Message, NoReplyEnd, Outgoing, Progress, Undelivered, topics,
};

/// See [`Bus`]. All topics have as many partitions as there are shards.
pub struct LocalBus {
    partitions: ShardCount,
    sink: AckSink,
    unacked: Unacked,
    state: Mutex<State>,
    replied: Notify,
    /// A reader has finished with something.
    finished: Notify,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<Arc<str>, Topic>,
    replies: BTreeMap<ShardId, Log>,
    /// The next offset to read of each assigned reply partition.
    assigned: BTreeMap<ShardId, i64>,
}

impl LocalBus {
    pub fn new(partitions: ShardCount, sink: AckSink) -> Self {
        let (replied, finished) = (Notify::new(), Notify::new());
        Self { partitions, sink, unacked: Unacked::default(), state: Mutex::default(), replied, finished }
    }

    /// Connects the workers' ends. What was sent before is lost to them, so this comes first.
    pub fn connect(&self, inputs: BTreeMap<&'static str, UnboundedSender<Delivery>>) {
        let mut state = self.lock();
        for (topic, input) in inputs {
            state.topic(&Arc::from(topic), self.partitions).read_by(input);
        }
    }

    /// Takes in what the workers answer, until they have ended.
    pub async fn answers(self: Arc<Self>, mut answers: UnboundedReceiver<Vec<workers::transport::Outgoing>>) {
        while let Some(batch) = answers.recv().await {
            let mut state = self.lock();
            // Dead letters of workers are in the list already; nobody reads their topic here.
            for answer in batch.into_iter().filter(|answer| answer.topic == topics::REPLIES) {
                let partition = self.partition(answer.key.as_deref());
                let (key, value, headers) = (answer.key, answer.value, answer.headers);
                state.reply(Incoming { partition, offset: 0, key, value, headers });
            }
            drop(state);
            self.replied.notify_one();
        }
    }

    /// A reader has finished with everything before a position.
    pub fn done(&self, position: &Position) {
        let mut state = self.lock();
        let acks = state.topic(&position.topic, self.partitions).done(position.partition, position.next);
        drop(state);
        self.finished.notify_waiters();
        self.acknowledge(acks);
    }

    fn acknowledge(&self, acks: Vec<Ack>) {
        for ack in acks {
            (self.sink)(ack);
            self.unacked.done();
        }
    }

    fn partition(&self, key: Option<&[u8]>) -> i32 {
        partition_of(key.unwrap_or_default(), u32::from(self.partitions.get())) as i32 // below 64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Changes are made whole: a panic elsewhere cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message where it is read. Returns what counts as sent at once: all but an event that somebody reads,
    /// whose reader has no other memory of it (sales are counted so).
    fn put(&self, state: &mut State, message: Outgoing) -> Option<Ack> {
        let Outgoing { topic, key, partition, value, headers, class, ticket } = message;
        let partition = partition.unwrap_or_else(|| self.partition(key.as_deref()));
        if topic.as_ref() == topics::REPLIES {
            let offset = state.reply(Incoming { partition, offset: 0, key, value, headers });
            return Some(Ack { ticket, partition, offset });
        }
        let to = state.topic(&topic, self.partitions);
        if !to.is_read() {
            return Some(Ack { ticket, partition, offset: to.pass(partition) });
        }
        let later = (class == Class::Event).then_some(ticket);
        let offset = to.keep(Delivery { topic, partition, offset: 0, key, value, headers }, later);
        later.is_none().then_some(Ack { ticket, partition, offset })
    }
}

impl State {
    fn topic(&mut self, name: &Arc<str>, partitions: ShardCount) -> &mut Topic {
        self.topics.entry(name.clone()).or_insert_with(|| Topic::new(partitions))
    }

    fn reply(&mut self, incoming: Incoming) -> i64 {
        let Ok(shard) = u16::try_from(incoming.partition) else { return -1 }; // no such partition
        self.replies.entry(ShardId(shard)).or_default().keep(incoming)
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn send(&self, messages: Vec<Outgoing>) {
        self.unacked.add(messages.len());
        let mut state = self.lock();
        let acks = messages.into_iter().filter_map(|message| self.put(&mut state, message)).collect();
        drop(state);
        self.replied.notify_one();
        self.acknowledge(acks);
    }

    async fn deliver(&self, message: Message) -> Result<(), Undelivered> {
        self.deliver_one(message).await
    }

    fn unacked(&self) -> usize {
        self.unacked.get()
    }

    fn forgets(&self) -> bool {
        true
    }

    fn assign_replies(&self, shard: ShardId, offset: i64) {
        let mut state = self.lock();
        let next = state.replies.entry(shard).or_default().read_from(offset);
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
            let found = self.lock().read();
            if !found.is_empty() {
                return found;
            }
            replied.await;
        }
    }

    async fn reply_end(&self, shard: ShardId) -> Result<i64, NoReplyEnd> {
        Ok(self.lock().replies.entry(shard).or_default().end())
    }

    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError> {
        Ok(self.lock().topic(&Arc::from(topic), self.partitions).progress())
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn flush(&self, at_most: Duration) {
        self.unacked.flush(at_most).await;
    }
}

impl State {
    /// The next replies of all assigned partitions.
    fn read(&mut self) -> Vec<(ShardId, Incoming)> {
        let mut found = Vec::new();
        for (shard, next) in &mut self.assigned {
            let read = self.replies.entry(*shard).or_default().read(*next);
            *next = read.last().map_or(*next, |last| last.offset + 1);
            found.extend(read.into_iter().map(|incoming| (*shard, incoming)));
        }
        found
    }
}
