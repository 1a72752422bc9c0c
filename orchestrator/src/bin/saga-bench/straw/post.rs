//! Kafka for the straw pipeline: clients with the settings of the real ones, on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use service::kafka::{Batching, group_consumer, producer};
use service::settings::KafkaBrokers;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::pattern::{Letter, Pattern};

/// As many messages as a reader takes together.
const MAX_BATCH: usize = 1_024;

/// A producer, and the prefix of the straw's topics.
pub struct Sender {
    producer: ThreadedProducer<DefaultProducerContext>,
    prefix: String,
}

impl Sender {
    pub fn new(brokers: &KafkaBrokers, prefix: &str, batching: Batching) -> anyhow::Result<Self> {
        Ok(Self { producer: producer(brokers, "straw", batching).create()?, prefix: prefix.to_owned() })
    }

    pub fn send(&self, saga: Uuid, letter: &Letter) -> anyhow::Result<()> {
        let (key, topic) = (saga.hyphenated().to_string(), format!("{}{}", self.prefix, letter.topic));
        let record = BaseRecord::to(&topic).key(&key).payload(&letter.payload).headers(letter.headers.clone());
        self.producer.send(record).map_err(|(error, _)| error).context("sending")
    }

    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(Duration::from_secs(10))?)
    }
}

/// The sagas of the next messages, each read as JSON, together as they have come.
fn take(consumer: &BaseConsumer) -> anyhow::Result<Vec<Uuid>> {
    let mut taken = Vec::new();
    let mut patience = Duration::from_millis(100);
    while let Some(message) = consumer.poll(patience) {
        let message = message?;
        serde_json::from_slice::<serde_json::Value>(message.payload().unwrap_or_default())?;
        taken.push(Uuid::try_parse_ascii(message.key().unwrap_or_default())?);
        patience = Duration::ZERO;
        if taken.len() == MAX_BATCH {
            break;
        }
    }
    Ok(taken)
}

fn join(pattern: &Pattern, prefix: &str, topic: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = group_consumer(&pattern.brokers, "straw", &format!("{prefix}{topic}"));
    config.set("enable.auto.commit", "true").set("enable.auto.offset.store", "true");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&format!("{prefix}{topic}")])?;
    Ok(consumer)
}

/// A thread that reads until it is told to stop.
pub type Reader = JoinHandle<anyhow::Result<()>>;

/// A worker: it answers each command with the same reply.
pub fn work(
    pattern: &Arc<Pattern>,
    prefix: &str,
    topic: &'static str,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Reader> {
    let (pattern, stop) = (pattern.clone(), stop.clone());
    let consumer = join(&pattern, prefix, topic)?;
    let replies = Sender::new(&pattern.brokers, prefix, Batching::Prompt)?;
    Ok(std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for saga in take(&consumer)? {
                replies.send(saga, &pattern.reply)?;
            }
        }
        replies.flush()
    }))
}

/// Reads the replies.
pub fn listen(
    pattern: &Pattern,
    prefix: &str,
    replies: UnboundedSender<Vec<Uuid>>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Reader> {
    let (consumer, stop) = (join(pattern, prefix, pattern.reply.topic)?, stop.clone());
    Ok(std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let taken = take(&consumer)?;
            if !taken.is_empty() && replies.send(taken).is_err() {
                break; // nobody counts any more
            }
        }
        Ok(())
    }))
}
