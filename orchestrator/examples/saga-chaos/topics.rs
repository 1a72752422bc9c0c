//! Reads all domain events while they come, and compares repeats; and sees to it that there are no dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use saga_model::Micros;

use crate::findings::{Findings, lock};

/// The topics of domain events, in the order in which an order's events of one transition stand.
const TOPICS: [&str; 9] = [
    "order.created",
    "inventory.reserved",
    "inventory.rejected",
    "payment.success",
    "payment.failed",
    "order.confirmed",
    "payment.refunded",
    "inventory.released",
    "order.cancelled",
];
/// No message of ours may come here.
const DEAD_LETTERS: &str = "saga.dead-letters";
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Some events come every second, unless something is down.
const SILENCE: Duration = Duration::from_secs(5);

/// What stands on the topics, and stood on those that were deleted, as far as it was read before.
pub struct Collector {
    findings: Arc<Findings>,
    brokers: String,
    stop: AtomicBool,
    /// How often the topics were deleted.
    generation: AtomicU32,
    /// Events by order and `ce_id`.
    seen: Mutex<BTreeMap<String, BTreeMap<String, Event>>>,
    repeats: AtomicU32,
    gone: Mutex<Vec<(Micros, Micros)>>,
}

#[derive(Clone, PartialEq)]
struct Event {
    topic: String,
    sequence: u32,
    /// The `ce_` headers, and the value.
    headers: BTreeMap<String, Vec<u8>>,
    value: Vec<u8>,
}

impl Collector {
    /// Begins to read, in a thread of its own.
    pub fn start(brokers: &str, findings: Arc<Findings>) -> Arc<Self> {
        let collector = Arc::new(Self {
            findings,
            brokers: brokers.to_owned(),
            stop: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            seen: Mutex::default(),
            repeats: AtomicU32::new(0),
            gone: Mutex::default(),
        });
        let reader = collector.clone();
        std::thread::spawn(move || reader.run());
        collector
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// All topics are about to be deleted.
    pub fn topics_go(&self, at: Micros) {
        lock(&self.gone).push((at, at));
    }

    /// They were deleted, and it is over.
    pub fn topics_went(&self, at: Micros) {
        if let Some((_, until)) = lock(&self.gone).last_mut() {
            *until = at;
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether messages of a saga that lived then may be lost with their topics, or were never read.
    pub fn may_miss(&self, from: Micros, to: Micros) -> bool {
        const UNREAD: i64 = 30_000_000;
        lock(&self.gone).iter().any(|(begin, end)| from <= *end && to.plus(UNREAD) >= *begin)
    }

    /// The events of an order, in order: topics with their sequence.
    pub fn events_of(&self, id: &str) -> Vec<(String, u32)> {
        let seen = lock(&self.seen);
        let mut events: Vec<(String, u32)> =
            seen.get(id).into_iter().flatten().map(|(_, event)| (event.topic.clone(), event.sequence)).collect();
        events.sort_by_key(|(topic, sequence)| (*sequence, TOPICS.iter().position(|known| known == topic)));
        events
    }

    /// Orders of which there are events.
    pub fn orders(&self) -> BTreeSet<String> {
        lock(&self.seen).keys().cloned().collect()
    }

    /// Events that came more than once.
    pub fn repeats(&self) -> u32 {
        self.repeats.load(Ordering::Relaxed)
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let generation = self.generation.load(Ordering::Relaxed);
            if let Err(error) = self.read(generation) {
                // The broker is away, or a topic is: it is asked again.
                self.findings.note(&format!("the reader of events: {error:#}"));
                std::thread::park_timeout(BETWEEN_LOOKS);
            }
        }
    }

    /// Reads all topics that are there from their beginning, until there are others, or nothing has come for a while: the
    /// library can go deaf when a broker comes back, and who only reads has no other way to notice.
    fn read(&self, generation: u32) -> anyhow::Result<()> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "chaos-only-reads")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("metadata.recovery.rebootstrap.trigger.ms", "3000")
            .set("reconnect.backoff.max.ms", "1000")
            .create()?;
        let there = partitions(&consumer)?;
        let mut all = TopicPartitionList::new();
        for (topic, count) in &there {
            for partition in 0..*count {
                all.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&all)?;
        let (mut looked, mut heard) = (Instant::now(), Instant::now());
        let mut read = BTreeSet::new();
        while !self.stop.load(Ordering::Relaxed)
            && self.generation.load(Ordering::Relaxed) == generation
            && heard.elapsed() < SILENCE
        {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                heard = Instant::now();
                self.take(&message, &mut read);
            }
            if looked.elapsed() > BETWEEN_LOOKS && there.len() <= TOPICS.len() {
                looked = Instant::now();
                if partitions(&consumer).is_ok_and(|now| now != there) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// `read`: the events that this consumer has read.
    fn take(&self, message: &BorrowedMessage, read: &mut BTreeSet<String>) {
        if message.topic() == DEAD_LETTERS {
            self.dead_letter(message);
            return;
        }
        let mut headers = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            if header.key.starts_with("ce_") {
                headers.insert(header.key.to_owned(), header.value.unwrap_or_default().to_vec());
            }
        }
        let text = |name: &str| String::from_utf8_lossy(headers.get(name).map_or(&[], Vec::as_slice)).into_owned();
        let (id, ce_id, sequence) = (text("ce_subject"), text("ce_id"), text("ce_sequence"));
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        let topic = message.topic().to_owned();
        if key != id || ce_id != format!("{id}/{sequence}/{topic}") || sequence.parse::<u32>().is_err() {
            self.findings.violation(format!("an event on {topic} has key {key}, ce_subject {id}, ce_id {ce_id}"));
            return;
        }
        let value = message.payload().unwrap_or_default().to_vec();
        let event = Event { topic, sequence: sequence.parse().unwrap_or(0), headers, value };
        let mut seen = lock(&self.seen);
        let before = seen.entry(id).or_default().entry(ce_id.clone()).or_insert_with(|| event.clone());
        let same = *before == event;
        drop(seen);
        if !same {
            self.findings.violation(format!("the event {ce_id} was repeated with another value or other headers"));
        }
        if !read.insert(ce_id) {
            self.repeats.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dead_letter(&self, message: &BorrowedMessage) {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let told = headers.filter(|header| header.key.starts_with("dl_")).map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            format!("{} {value}", header.key)
        });
        let (told, value) = (told.collect::<Vec<_>>(), message.payload().unwrap_or_default());
        self.findings.violation(format!("a dead letter: {}: {}", told.join(", "), String::from_utf8_lossy(value)));
    }
}

/// The topics that are to be read and are there, with the number of their partitions.
fn partitions(consumer: &BaseConsumer) -> anyhow::Result<BTreeMap<String, i32>> {
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(5))?;
    let wanted = |name: &str| name == DEAD_LETTERS || TOPICS.contains(&name);
    let there = metadata.topics().iter().filter(|topic| topic.error().is_none() && wanted(topic.name()));
    Ok(there.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect())
}
