//! What stands on the topics, read from their beginning.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::client::Json;
use super::process::PATIENCE;

/// A message as it stands on a topic.
#[derive(Debug, Clone)]
pub struct Event {
    pub topic: String,
    pub partition: i32,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Json,
    pub raw: Vec<u8>,
}

/// Reads all partitions of some topics from the beginning.
pub struct TopicReader {
    consumer: BaseConsumer,
    prefix: String,
    seen: Vec<Event>,
}

impl TopicReader {
    pub fn new(brokers: &str, prefix: &str, topics: &[&str]) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "tests-only-read")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "20")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for topic in topics {
            let name = format!("{prefix}{topic}");
            let metadata = consumer.fetch_metadata(Some(&name), Duration::from_secs(10)).unwrap();
            for partition in metadata.topics()[0].partitions() {
                all.add_partition_offset(&name, partition.id(), Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&all).unwrap();
        Self { consumer, prefix: prefix.to_owned(), seen: Vec::new() }
    }

    /// Reads on until `holds` of all that was read, and returns it.
    pub fn until(&mut self, holds: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let until = Instant::now() + PATIENCE;
        while !holds(&self.seen) {
            assert!(Instant::now() < until, "not on the topics: {:#?}", self.seen);
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) {
                let headers = message.headers().map(|headers| {
                    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                });
                let raw = message.payload().unwrap_or_default().to_vec();
                self.seen.push(Event {
                    topic: message.topic().trim_start_matches(&self.prefix).to_owned(),
                    partition: message.partition(),
                    key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                    headers: headers.unwrap_or_default(),
                    value: serde_json::from_slice(&raw).unwrap_or(Json::Null),
                    raw,
                });
            }
        }
        self.seen.clone()
    }

    /// The first occurrences of an order's domain events, in order of their sequence and (within one) of `topics`,
    /// once there are as many. Topics are not ordered among each other, so all of them are waited for.
    pub fn events_of(&mut self, order: &str, topics: &[&str]) -> Vec<Event> {
        let of_order = |seen: &[Event]| {
            let mut ids = std::collections::BTreeSet::new();
            let mut events: Vec<Event> = seen.iter().filter(|event| event.key == order).cloned().collect();
            events.retain(|event| ids.insert(event.headers.get("ce_id").cloned()));
            events
        };
        let seen = self.until(|seen| of_order(seen).len() >= topics.len());
        let mut events = of_order(&seen);
        let place = |event: &Event| topics.iter().position(|topic| *topic == event.topic);
        events.sort_by_key(|event| (event.headers["ce_sequence"].parse::<u32>().unwrap(), place(event)));
        events
    }
}
