//! A bus under test, with the workers' end of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator::bus::{Bus, Class, Incoming, MadeOf, Outgoing, Ticket};
use saga_model::SagaId;
use saga_model::ids::ShardId;
use service::headers::Headers;
use uuid::Uuid;

use crate::acks::{Acks, PATIENCE};

/// Partitions of each topic under test.
pub const PARTITIONS: u16 = 4;

/// A message as a test writes or reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msg {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

impl Msg {
    pub fn of(key: &str, value: &str) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), headers: Headers::new() }
    }
}

/// A message that a worker took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub partition: i32,
    pub offset: i64,
    pub msg: Msg,
}

impl Taken {
    /// What [`message`] has numbered.
    pub fn number(&self) -> u64 {
        std::str::from_utf8(self.msg.value.as_deref().unwrap()).unwrap().parse().unwrap()
    }
}

#[async_trait]
pub trait Rig: Send {
    fn bus(&self) -> Arc<dyn Bus>;
    fn acks(&self) -> &Acks;
    /// Answers as a worker does; the key decides the partition.
    async fn reply(&mut self, replies: Vec<Msg>);
    /// Takes the next `count` messages of a topic as its worker.
    async fn take(&mut self, topic: &str, count: usize) -> Vec<Taken>;
    /// The worker is done with all that it took from a topic.
    async fn done(&mut self, topic: &str);
}

/// The saga with that number.
pub fn saga(number: u128) -> SagaId {
    Uuid::from_u128(number).into()
}

/// The partition where Kafka puts a saga's messages.
pub fn partition(saga: SagaId) -> i32 {
    i32::from(saga.slot().get()) % i32::from(PARTITIONS)
}

/// The first saga numbers that fall on a partition.
pub fn on_partition(wanted: i32) -> impl Iterator<Item = SagaId> {
    (1..).map(saga).filter(move |id| partition(*id) == wanted)
}

pub fn ticket(number: u64) -> Ticket {
    Ticket { shard: ShardId(0), epoch: 1, made_of: MadeOf::Row(number), command: None }
}

pub fn message(topic: &Arc<str>, class: Class, saga: SagaId, number: u64) -> Outgoing {
    Outgoing {
        topic: topic.clone(),
        key: Some(saga.to_string().into_bytes()),
        partition: None,
        value: Some(number.to_string().into_bytes()),
        headers: [("ce_id", number.to_string())].into_iter().collect(),
        class,
        ticket: ticket(number),
    }
}

/// Reads replies until there are `count`.
pub async fn replies(bus: &dyn Bus, count: usize) -> Vec<(ShardId, Incoming)> {
    let mut replies = Vec::new();
    let enough = async {
        while replies.len() < count {
            replies.extend(bus.next_replies().await);
        }
    };
    if tokio::time::timeout(PATIENCE, enough).await.is_err() {
        panic!("{} replies instead of {count}", replies.len());
    }
    replies
}

/// That no reply comes within a moment.
pub async fn no_replies(bus: &dyn Bus) {
    let more = tokio::time::timeout(Duration::from_millis(300), bus.next_replies()).await;
    assert!(more.is_err(), "{more:?}");
}

/// The values as text.
pub fn values(replies: &[(ShardId, Incoming)]) -> Vec<String> {
    replies.iter().map(|(_, reply)| String::from_utf8(reply.value.clone().unwrap()).unwrap()).collect()
}

/// Asks again until the answer is what is waited for: of something outside that gives no sign.
pub async fn eventually<T: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> T, is_it: impl Fn(&T) -> bool) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut again = tokio::time::interval(Duration::from_millis(20));
    loop {
        again.tick().await;
        let answer = ask().await;
        if is_it(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < until, "still {answer:?}");
    }
}
