//! How far the groups of the workers have come, without joining them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Client, PATIENCE, listen, offset_in, offsets};
use crate::bus::Progress;
use crate::bus::kafka::seldom::Voice;

/// How long the number of a topic's partitions is believed.
const BELIEVED: Duration = Duration::from_secs(30);

pub(super) struct Groups {
    config: ClientConfig,
    /// A client that names the group and never joins it, for each topic.
    topics: HashMap<String, Topic>,
}

struct Topic {
    client: Client,
    partitions: Option<(i32, Instant)>,
}

impl Groups {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self { config, topics: HashMap::new() }
    }

    pub(super) fn listen(&self) {
        self.topics.values().for_each(|topic| listen(&topic.client));
    }

    /// What each partition of a topic holds, and how far the group that reads it has come.
    pub(super) fn progress(&mut self, client: &Client, name: &str, group: &str) -> KafkaResult<Vec<Progress>> {
        if !self.topics.contains_key(name) {
            let client = self.config.clone().set("group.id", group).create_with_context(Voice)?;
            self.topics.insert(name.to_owned(), Topic { client, partitions: None });
        }
        let Some(topic) = self.topics.get_mut(name) else { return Ok(Vec::new()) };
        let progress = topic.progress(client, name);
        if progress.is_err() {
            topic.partitions = None;
        }
        progress
    }
}

impl Topic {
    fn progress(&mut self, client: &Client, name: &str) -> KafkaResult<Vec<Progress>> {
        let partitions: Vec<(&str, i32)> =
            (0..self.partitions(client, name)?).map(|partition| (name, partition)).collect();
        // In this order: an offset that was committed when we asked is not past the end that we hear of later.
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (name, partition) in &partitions {
            list.add_partition(name, *partition);
        }
        let committed = self.client.committed_offsets(list, PATIENCE)?;
        let ends = offsets(client, &partitions, Offset::End)?;
        let begins = offsets(client, &partitions, Offset::Beginning)?;
        let progress = |partition| {
            let of_group = committed.find_partition(name, partition);
            let of_group = of_group.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            of_group.error()?;
            Ok(Progress {
                partition,
                begin: offset_in(&begins, name, partition)?,
                end: offset_in(&ends, name, partition)?,
                committed: match of_group.offset() {
                    Offset::Offset(offset) => Some(offset),
                    Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
                },
            })
        };
        partitions.iter().map(|(_, partition)| progress(*partition)).collect()
    }

    fn partitions(&mut self, client: &Client, name: &str) -> KafkaResult<i32> {
        if let Some((partitions, seen)) = self.partitions
            && seen.elapsed() < BELIEVED
        {
            return Ok(partitions);
        }
        let metadata = client.fetch_metadata(Some(name), PATIENCE)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        if let Some(error) = topic.and_then(rdkafka::metadata::MetadataTopic::error) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let partitions = topic.map_or(0, |topic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX));
        if partitions == 0 {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        self.partitions = Some((partitions, Instant::now()));
        Ok(partitions)
    }
}
