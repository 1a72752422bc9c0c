//! How far the library has fetched, from its statistics: the only place where it says so.
//!
//! The last offsets of a partition need not be messages. A worker that writes in transactions leaves a mark at the
//! end of each, which no reader is shown, and the broker may have deleted what is old. Who waits until it has read
//! the message before the end would then wait for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use saga_model::ids::ShardId;
use serde::Deserialize;
use service::kafka::{client_error, client_log};
use tokio::sync::Notify;

/// The context of the client that reads.
pub(super) struct Fetched {
    topic: Arc<str>,
    news: Mutex<Option<Offsets>>,
    /// Somebody should take the news.
    changed: Arc<Notify>,
}

/// The next offset to fetch, by partition.
pub(super) type Offsets = BTreeMap<ShardId, i64>;

impl Fetched {
    pub(super) fn new(topic: Arc<str>, changed: Arc<Notify>) -> Self {
        Self { topic, news: Mutex::default(), changed }
    }

    /// What was said since the last time.
    pub(super) fn take(&self) -> Option<Offsets> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Fetched {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(offsets) = offsets(statistics, &self.topic) {
            *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(offsets);
            self.changed.notify_one();
        }
    }
}

impl ConsumerContext for Fetched {}

/// As far as we look into the library's statistics (its STATISTICS.md).
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    next_offset: i64,
}

fn offsets(statistics: &[u8], topic: &str) -> Option<Offsets> {
    let statistics: Statistics = serde_json::from_slice(statistics).ok()?;
    let partitions = statistics.topics.get(topic)?.partitions.values();
    // There is a partition -1, for messages that have none yet; a negative offset is none yet.
    let known = partitions.filter_map(|Partition { partition, next_offset }| {
        Some((ShardId(u16::try_from(*partition).ok()?), *next_offset)).filter(|(_, offset)| *offset >= 0)
    });
    Some(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_library_says() {
        let statistics = br#"{"name": "x", "brokers": {}, "topics": {"other": {"partitions": {}}, "t": {"topic": "t",
            "partitions": {"0": {"partition": 0, "next_offset": 7, "app_offset": -1001}, "1": {"partition": 1,
            "next_offset": -1001}, "-1": {"partition": -1, "next_offset": 0}}}}, "cgrp": {"state": "up"}}"#;
        assert_eq!(offsets(statistics, "t"), Some(Offsets::from([(ShardId(0), 7)])));
        assert_eq!(offsets(statistics, "nothing"), None);
        assert_eq!(offsets(b"", "t"), None);
    }
}
