//! The bus that is Kafka.

mod consumer;
mod look;
mod names;
mod producer;
mod seldom;
mod single;
pub mod topics;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId};
use service::kafka::{Admin, assigned_consumer};
use service::settings::{KafkaBrokers, TopicPrefix};

use self::consumer::Consumer;
use self::look::Look;
use self::names::Names;
use self::producer::Producer;
pub use self::single::Single;
use self::topics::Mender;
use super::{AckSink, Bus, BusError, Incoming, Message, NoReplyEnd, Outgoing, Progress, Undelivered};

/// What a Kafka bus has to know.
#[derive(Debug, Clone)]
pub struct Settings {
    pub brokers: KafkaBrokers,
    /// What the broker logs us as.
    pub client_id: String,
    /// What stands before the names of topics on this cluster.
    pub prefix: TopicPrefix,
    /// The topic of replies, with a partition for each shard.
    pub replies: Arc<str>,
    /// With how many partitions and replicas (the broker's own number unless said) a topic is made again that
    /// somebody deletes while we run.
    pub partitions: ShardCount,
    pub replicas: Option<u16>,
    /// After how long a message is tried again that the broker refuses for itself, such as one that is too large.
    pub park_for: Duration,
}

impl Settings {
    /// The settings of an orchestrator.
    pub fn new(brokers: KafkaBrokers, prefix: TopicPrefix, partitions: ShardCount) -> Self {
        Self {
            brokers,
            client_id: "saga".to_owned(),
            replies: Arc::from(prefix.full(super::topics::REPLIES)),
            prefix,
            partitions,
            replicas: None,
            park_for: Duration::from_secs(300),
        }
    }
}

/// See [`Bus`].
pub struct KafkaBus {
    names: Names,
    replies: Arc<str>,
    producer: Producer,
    single: Single,
    consumer: Consumer,
    /// Two, so that a topic of commands which cannot be looked at keeps nobody from looking at the replies.
    replies_look: Look,
    progress_look: Look,
}

impl KafkaBus {
    /// A bus whose acknowledgements go to `sink`, from threads of its own. Within a runtime only. It does not wait
    /// for the broker.
    ///
    /// # Errors
    /// If the settings are no valid ones.
    pub fn new(settings: &Settings, sink: &AckSink) -> Result<Self, BusError> {
        let Settings { brokers, client_id, prefix, replies, partitions, replicas, park_for } = settings;
        let admin = Admin::new(brokers, client_id).map_err(|error| BusError(error.to_string()))?;
        let runtime = tokio::runtime::Handle::current();
        let mender = Arc::new(Mender::new(admin, prefix, *partitions, *replicas, runtime));
        let reading = assigned_consumer(brokers, client_id);
        Ok(Self {
            names: Names::new(prefix.clone()),
            replies: replies.clone(),
            producer: Producer::start((brokers, client_id), sink, &mender, *park_for)?,
            single: Single::new(brokers, client_id),
            consumer: Consumer::new(replies.clone(), reading.clone(), mender)?,
            replies_look: Look::start("kafka-look", reading.clone())?,
            progress_look: Look::start("kafka-progress", reading)?,
        })
    }
}

#[async_trait]
impl Bus for KafkaBus {
    fn send(&self, mut messages: Vec<Outgoing>) {
        self.names.put_in_full(&mut messages);
        self.producer.send(messages);
    }

    async fn deliver(&self, message: Message) -> Result<(), Undelivered> {
        self.single.deliver(&self.names.full(&message.topic), message).await
    }

    fn unacked(&self) -> usize {
        self.producer.unacked()
    }

    fn assign_replies(&self, shard: ShardId, offset: i64) {
        self.consumer.assign(shard, offset);
    }

    fn unassign_replies(&self, shard: ShardId) {
        self.consumer.unassign(shard);
    }

    async fn next_replies(&self) -> Vec<(ShardId, Incoming)> {
        self.consumer.next().await
    }

    async fn reply_end(&self, shard: ShardId) -> Result<i64, NoReplyEnd> {
        let question = self.consumer.question(shard);
        let end = self.replies_look.end(self.replies.clone(), i32::from(shard.0)).await?;
        self.consumer.read_to(question, end).await
    }

    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError> {
        let (names, group) = (&self.names, names::group(topic));
        self.progress_look.progress(names.full(topic), names.full(&group)).await
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.replies_look.ping(self.replies.clone()).await
    }

    async fn flush(&self, at_most: Duration) {
        self.producer.flush(at_most).await;
    }
}
