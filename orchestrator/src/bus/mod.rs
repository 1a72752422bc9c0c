//! How messages travel: one trait, two buses (Kafka, in-process) that pass one suite.

pub mod kafka;
pub mod local;
mod unacked;

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::ids::ShardId;
use saga_model::state::CommandRef;
use service::headers::Headers;

/// Topics that the engine itself names; those of commands and events stand in the definitions.
pub mod topics {
    pub use service::kafka::topics::{ALL, DEAD_LETTERS, REPLIES};
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub topic: Arc<str>,
    /// The message's key: it decides the partition. (A saga id in lower case; a dead letter keeps the key it came with.)
    pub key: Option<Vec<u8>>,
    /// Fixed for a reply that is passed on to its right partition.
    pub partition: Option<i32>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
    pub class: Class,
    /// Comes back with the acknowledgement.
    pub ticket: Ticket,
}

/// How urgent a message is: the classes have producers of their own, with batching to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for it: sent at once when quiet, grouped when loaded.
    Command,
    /// Domain events and dead letters: grouped.
    Event,
}

/// A message by itself, which somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: Arc<str>,
    /// Decides the partition.
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

impl Message {
    /// The same with an acknowledgement, not urgent.
    pub fn as_event(self, ticket: Ticket) -> Outgoing {
        let Self { topic, key, value, headers } = self;
        Outgoing { topic, key, partition: None, value, headers, class: Class::Event, ticket }
    }
}

/// How long a message by itself may take.
pub const DELIVERED_WITHIN: std::time::Duration = std::time::Duration::from_secs(4);

/// Why a message by itself was not delivered. It is not sent again, but it may have arrived all the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Undelivered {
    /// Try again later.
    #[error("the message bus does not confirm it: {0}")]
    Away(String),
    /// The bus will never take it.
    #[error("the message bus refuses it: {0}")]
    Refused(String),
}

/// What an acknowledgement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub shard: ShardId,
    pub epoch: u64,
    pub made_of: MadeOf,
    pub command: Option<(SagaId, CommandRef)>,
}

/// What the message was made of, and is made of again by the next owner of the shard if it has not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeOf {
    /// The history row with this `shard_seq`.
    Row(u64),
    /// The reply at this offset, of which came a dead letter or which is passed on to its right partition.
    Reply(i64),
    /// A command sent again: its row counts no more.
    Again,
}

/// The broker has a message, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub ticket: Ticket,
    pub partition: i32,
    pub offset: i64,
}

/// Is called for each acknowledgement, from a thread of the bus or of whoever sends: quick, never blocking.
pub type AckSink = Arc<dyn Fn(Ack) + Send + Sync>;

/// A message that was read.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// What a partition of a command topic holds, and how far its workers' group has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub partition: i32,
    /// The first offset it still holds and the one its next message gets.
    pub begin: i64,
    pub end: i64,
    /// The next offset that the group has not finished; none if it never committed one.
    pub committed: Option<i64>,
}

/// The bus does not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the message bus does not answer: {0}")]
pub struct BusError(pub String);

/// Where the replies of a shard end is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoReplyEnd {
    /// They ended further on before. What is there now is read from its beginning: ask again.
    #[error("the topic of the replies was made anew, and ends at {end}")]
    MadeAnew { end: i64 },
    #[error(transparent)]
    Unknown(#[from] BusError),
}

#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Hands messages over; never waits, and repeats until the broker has each (one that is away is waited for).
    /// [`Class::Event`] keeps its order within a partition; [`Class::Command`] may be repeated and reordered whenever
    /// the broker is in trouble. Acknowledgements go to the [`AckSink`] that the bus was made with.
    fn send(&self, messages: Vec<Outgoing>);

    /// Sends one message and waits until the broker has it, for [`DELIVERED_WITHIN`] at most.
    ///
    /// # Errors
    /// If the broker has not confirmed it.
    async fn deliver(&self, message: Message) -> Result<(), Undelivered>;

    /// How many messages are handed over and not yet acknowledged.
    fn unacked(&self) -> usize;

    /// Whether it forgets everything with the process: then whoever takes a shard sends all pending commands again.
    fn forgets(&self) -> bool {
        false
    }

    /// Reads the reply partition of a shard from `offset` (or from its beginning if it holds that offset no more).
    fn assign_replies(&self, shard: ShardId, offset: i64);
    fn unassign_replies(&self, shard: ShardId);
    /// The next replies of all assigned partitions, at least one, in order within a partition; waits for them.
    /// Called by one task.
    async fn next_replies(&self) -> Vec<(ShardId, Incoming)>;
    /// The offset behind the last reply of this shard that the broker holds now: once everything before it has been
    /// dealt with, nothing is left that was there when this was asked. Of a shard whose replies are read, it is known
    /// when they have been given out, and so it may take a moment. (It is not always the offset that the next message
    /// gets: the last ones may be no messages, or deleted.)
    ///
    /// # Errors
    /// See [`NoReplyEnd`].
    async fn reply_end(&self, shard: ShardId) -> Result<i64, NoReplyEnd>;

    /// How far the workers of a command topic have come, for every partition, as the broker says now.
    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError>;

    /// Whether the broker answers.
    async fn ping(&self) -> Result<(), BusError>;

    /// Waits until all that was handed over is acknowledged, or that long.
    async fn flush(&self, at_most: std::time::Duration);
}
