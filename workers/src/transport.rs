//! How commands arrive and replies leave: two roads, Kafka and the bus inside `saga dev`, with one set of rules.
//!
//! A batch is taken, answered, and only then marked as done. A batch that was not marked comes again.

pub mod kafka;
pub mod local;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use service::headers::Headers;

/// A message that was read.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// A message to send: a reply or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: &'static str,
    /// Decides the partition.
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// A place in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Everything before this offset is done.
    pub next: i64,
}

/// Where messages come from. Used by one task.
#[async_trait]
pub trait Source: Send + 'static {
    /// The next messages, at least one, in order within a partition; waits for them. `None` when there will be no
    /// more. No more than [`MAX_BATCH`]. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Vec<Delivery>>;

    /// Where to mark what is done.
    fn marks(&self) -> Arc<dyn Marks>;

    /// Hands on what is marked, and lets go. What was handed out and not marked comes again, here or elsewhere.
    async fn close(self);
}

/// Marks what is done, so that it does not come again. Called in the order of the batches.
#[async_trait]
pub trait Marks: Send + Sync + 'static {
    /// Everything before these positions is done. That a mark is lost is harmless: the messages come again.
    async fn done(&self, positions: Vec<Position>);
}

/// Where answers go.
pub trait Sink: Send + Sync + 'static {
    /// Hands messages over at once and repeats each for as long as it takes; in trouble they may come twice and in
    /// another order. What comes back ends when all are durable, or refused for what they are, which the sink says in
    /// its log.
    fn send(&self, messages: Vec<Outgoing>) -> Sent;
}

/// Ends when what was sent is durable.
pub type Sent = BoxFuture<'static, ()>;

/// The most messages of a batch.
pub const MAX_BATCH: usize = 512;

/// How far a batch goes in each of its partitions.
pub fn positions(batch: &[Delivery]) -> Vec<Position> {
    let mut positions: Vec<Position> = Vec::new();
    for Delivery { topic, partition, offset, .. } in batch {
        let known = positions.iter_mut().find(|position| position.partition == *partition && position.topic == *topic);
        match known {
            Some(position) => position.next = position.next.max(offset + 1),
            None => positions.push(Position { topic: Arc::clone(topic), partition: *partition, next: offset + 1 }),
        }
    }
    positions
}
