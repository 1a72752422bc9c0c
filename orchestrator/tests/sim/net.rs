//! The broker: what every topic holds, and how far its readers have come.

use std::sync::Arc;

use orchestrator::bus::Incoming;
use saga_model::SagaId;
use saga_model::ids::{ShardCount, ShardId, partition_of};
use saga_model::state::CommandRef;
use service::headers::Headers;
use service::kafka::topics;

/// Who reads the commands, in the order of their topics.
pub const COMMAND_TOPICS: [&str; 3] =
    [topics::INVENTORY_COMMANDS, topics::PAYMENT_COMMANDS, topics::NOTIFICATION_COMMANDS];

/// A message in a topic.
#[derive(Debug, Clone)]
pub struct Message {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
    /// Of a command: what it asks. None for garbage.
    pub command: Option<(SagaId, CommandRef)>,
}

/// A partition of a command topic, or all of `order.confirmed`.
#[derive(Debug, Default)]
pub struct Partition {
    pub messages: Vec<Message>,
    /// The first offset that it still holds.
    pub begin: usize,
    /// The next offset that its readers have not finished.
    pub committed: usize,
    /// Whether it lost something.
    pub cut: bool,
}

impl Partition {
    fn append(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }
}

/// A reply on its way to the broker.
#[derive(Debug)]
pub struct Late {
    pub shard: ShardId,
    pub incoming: Incoming,
}

/// All topics.
#[derive(Debug)]
pub struct Net {
    pub shards: ShardCount,
    /// By command topic and partition.
    pub commands: Vec<Vec<Partition>>,
    pub confirmed: Partition,
    /// By shard; the offset is the index.
    pub replies: Vec<Vec<Incoming>>,
    /// Replies that have not come yet.
    pub late: Vec<Late>,
    /// Places of replies that are no answers: each has to become a dead letter.
    pub garbage: Vec<(ShardId, i64)>,
    /// The places that messages of the topic of dead letters name.
    pub letters: Vec<(ShardId, i64)>,
}

impl Net {
    pub fn new(shards: ShardCount) -> Self {
        let partitions = || (0..shards.get()).map(|_| Partition::default()).collect();
        Self {
            shards,
            commands: COMMAND_TOPICS.iter().map(|_| partitions()).collect(),
            confirmed: Partition::default(),
            replies: (0..shards.get()).map(|_| Vec::new()).collect(),
            late: Vec::new(),
            garbage: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// The partition of a key.
    pub fn place(&self, key: Option<&[u8]>) -> usize {
        partition_of(key.unwrap_or_default(), u32::from(self.shards.get())) as usize
    }

    /// Adds a message to a command topic; where it stands.
    pub fn command(&mut self, topic: usize, message: Message) -> (usize, usize) {
        let place = self.place(message.key.as_deref());
        (place, self.commands[topic][place].append(message))
    }

    pub fn confirm(&mut self, message: Message) -> usize {
        self.confirmed.append(message)
    }

    /// Adds a reply to a partition; its offset.
    pub fn reply(&mut self, shard: ShardId, mut incoming: Incoming) -> i64 {
        let log = &mut self.replies[usize::from(shard.0)];
        incoming.partition = i32::from(shard.0);
        incoming.offset = log.len() as i64;
        log.push(incoming);
        log.len() as i64 - 1
    }

    /// Adds a reply that no saga can take.
    pub fn bad_reply(&mut self, shard: ShardId, incoming: Incoming) {
        let offset = self.reply(shard, incoming);
        self.garbage.push((shard, offset));
    }

    pub fn reply_end(&self, shard: ShardId) -> i64 {
        self.replies[usize::from(shard.0)].len() as i64
    }

    /// Whether the message there is none that a saga of this shard takes, or was made a dead letter.
    pub fn is_held(&self, shard: ShardId, offset: i64) -> bool {
        let log = &self.replies[usize::from(shard.0)];
        let found = usize::try_from(offset).ok().and_then(|offset| log.get(offset));
        found.is_some_and(|incoming| {
            self.garbage.contains(&(shard, offset))
                || self.letters.contains(&(shard, offset))
                || self.place(incoming.key.as_deref()) != usize::from(shard.0)
        })
    }

    /// Whether a reader has finished with some copy of a command, or may have: its topic has lost something.
    pub fn was_taken(&self, topic: &str, saga: SagaId, command: CommandRef) -> bool {
        let Some(topic) = COMMAND_TOPICS.iter().position(|name| *name == topic) else { return false };
        self.commands[topic].iter().any(|partition| {
            let done = partition.messages[..partition.committed].iter();
            partition.cut || done.into_iter().any(|message| message.command == Some((saga, command)))
        })
    }
}

/// A message of garbage.
pub fn garbage(key: Option<Vec<u8>>) -> Message {
    let value = Some(b"{\"sagaId\":\"none\"".to_vec());
    Message { key, value, headers: Headers::new(), command: None }
}

/// A topic's name, shared.
pub fn name_of(topic: usize) -> Arc<str> {
    thread_local! {
        static NAMES: [Arc<str>; 3] = COMMAND_TOPICS.map(Arc::from);
    }
    NAMES.with(|names| Arc::clone(&names[topic]))
}
