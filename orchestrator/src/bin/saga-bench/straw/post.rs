//! Kafka for the straw pipeline: clients as the real ones are set, on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use service::kafka::{Batching, group_consumer, producer};
use service::settings::KafkaBrokers;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::pattern::{COMMANDS, Letter, Pattern};

/// As many messages as a reader takes together.
const MAX_READ: usize = 1_024;
/// Which transition a message belongs to.
const STEP: &str = "straw-step";

/// A saga and its transition; 0 is the start.
pub type Transition = (Uuid, usize);

/// A thread that works until it is told to stop.
pub type Thread = JoinHandle<anyhow::Result<()>>;

/// A producer, and the prefix of the straw's topics.
pub struct Sender {
    producer: ThreadedProducer<DefaultProducerContext>,
    prefix: String,
}

impl Sender {
    pub fn new(brokers: &KafkaBrokers, prefix: &str, batching: Batching) -> anyhow::Result<Self> {
        let mut config = producer(brokers, "straw", batching);
        config.set("batch.size", "262144");
        if batching == Batching::Prompt {
            config.set("linger.ms", "0");
        }
        Ok(Self { producer: config.create()?, prefix: prefix.to_owned() })
    }

    fn send(&self, (saga, step): Transition, letter: &Letter) -> anyhow::Result<()> {
        let (key, topic) = (saga.hyphenated().to_string(), format!("{}{}", self.prefix, letter.topic));
        let step = step.to_string();
        let headers = letter.headers.clone().insert(Header { key: STEP, value: Some(&step) });
        let record = BaseRecord::to(&topic).key(&key).payload(&letter.payload).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).context("sending")
    }

    fn flush(&self) -> anyhow::Result<()> {
        self.producer.flush(Duration::from_secs(30)).context("not all was sent")
    }
}

/// The transitions that the next messages are of, each read as JSON, together as they have come.
fn take(consumer: &BaseConsumer) -> anyhow::Result<Vec<Transition>> {
    let mut taken = Vec::new();
    let mut patience = Duration::from_millis(100);
    while let Some(message) = consumer.poll(patience) {
        let message = match message {
            Ok(message) => message,
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
            Err(error) => {
                eprintln!("straw pipeline: {error}"); // the library goes on by itself
                continue;
            }
        };
        serde_json::from_slice::<serde_json::Value>(message.payload().unwrap_or_default())?;
        let step = message.headers().and_then(|headers| headers.iter().find(|header| header.key == STEP)?.value);
        let step = std::str::from_utf8(step.context("a message of somebody else")?)?.parse()?;
        taken.push((Uuid::try_parse_ascii(message.key().unwrap_or_default())?, step));
        patience = Duration::ZERO;
        if taken.len() == MAX_READ {
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

/// The worker of a step: it answers each command with the same reply.
pub fn work(pattern: &Arc<Pattern>, prefix: &str, step: usize, stop: &Arc<AtomicBool>) -> anyhow::Result<Thread> {
    let (pattern, stop) = (pattern.clone(), stop.clone());
    let consumer = join(&pattern, prefix, COMMANDS[step])?;
    let replies = Sender::new(&pattern.brokers, prefix, Batching::Prompt)?;
    Ok(std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for transition in take(&consumer)? {
                replies.send(transition, &pattern.replies[step])?;
            }
        }
        replies.flush()
    }))
}

/// Reads the replies.
pub fn listen(
    pattern: &Pattern,
    prefix: &str,
    replies: UnboundedSender<Vec<Transition>>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Thread> {
    let (consumer, stop) = (join(pattern, prefix, pattern.replies[0].topic)?, stop.clone());
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

/// Sends what goes out with transitions that are stored, while the next ones are.
pub fn send(
    pattern: &Arc<Pattern>,
    prefix: &str,
    stored: std::sync::mpsc::Receiver<Vec<Transition>>,
) -> anyhow::Result<Thread> {
    let pattern = pattern.clone();
    let commands = Sender::new(&pattern.brokers, prefix, Batching::Prompt)?;
    let events = Sender::new(&pattern.brokers, prefix, Batching::Grouped)?;
    Ok(std::thread::spawn(move || {
        for (saga, step) in stored.into_iter().flatten() {
            if let Some(command) = pattern.commands.get(step) {
                commands.send((saga, step), command)?;
            }
            events.send((saga, step), &pattern.events[step])?;
        }
        commands.flush()?;
        events.flush()
    }))
}
