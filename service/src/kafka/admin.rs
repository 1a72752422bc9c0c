//! Topics: making those that are missing, and seeing what is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use saga_model::ids::ShardCount;

use super::config::{MAX_PRODUCED_BYTES, client};
use super::log::ClientLog;
use super::topics::DEAD_LETTERS;
use crate::settings::KafkaBrokers;

/// How long the broker may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long new topics may take until they can be used.
const LEADERS_WITHIN: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Why topics could not be made or seen.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The broker does not answer: try again.
    #[error("Kafka does not answer: {0}")]
    Unreachable(String),
    /// The broker refuses to make a topic: trying again does not help.
    #[error("Kafka refuses to make the topic {topic}: {reason}")]
    Refused { topic: String, reason: String },
    /// Topics were made and do not get leaders.
    #[error("Kafka has no leader for the partitions of {} after {} s", .0.join(", "), LEADERS_WITHIN.as_secs())]
    NoLeaders(Vec<String>),
}

/// Topics as the broker sees them: the number of partitions, by name. One that is not there is not in it.
pub type Topics = BTreeMap<String, usize>;

/// Somebody who may make topics.
#[derive(Clone)]
pub struct Admin(Arc<AdminClient<ClientLog>>);

impl Admin {
    /// # Errors
    /// If the settings make no client; it does not wait for the broker.
    pub fn new(brokers: &KafkaBrokers, client_id: &str) -> Result<Self, AdminError> {
        let client = client(brokers, client_id).create_with_context(ClientLog);
        client.map(|client| Self(Arc::new(client))).map_err(unreachable)
    }

    /// All topics that are there and have a leader for each of their partitions.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub async fn topics(&self) -> Result<Topics, AdminError> {
        let admin = self.0.clone();
        // Asking blocks. All topics are asked for: asking for one by name could make it.
        let asked = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, PATIENCE)).await;
        let metadata = asked.map_err(|error| AdminError::Unreachable(error.to_string()))?.map_err(unreachable)?;
        let led = metadata.topics().iter().filter(|topic| {
            topic.error().is_none() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
        });
        Ok(led.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    /// Makes those of `wanted` that are missing, with that many partitions and replicas (the broker's own number
    /// unless said), and waits until they can be used. Returns the ones that it made; those that are there are left
    /// as they are, whatever their partitions.
    ///
    /// # Errors
    /// See [`AdminError`]; running it again goes on where it stopped.
    pub async fn create_missing(
        &self,
        wanted: &[&str],
        partitions: ShardCount,
        replicas: Option<u16>,
    ) -> Result<Vec<String>, AdminError> {
        let there = self.topics().await?;
        let missing: Vec<&str> = wanted.iter().copied().filter(|topic| !there.contains_key(*topic)).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<_> = missing.iter().map(|name| new_topic(name, partitions, replicas)).collect();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let mut made = Vec::new();
        for outcome in self.0.create_topics(&new, &options).await.map_err(unreachable)? {
            match outcome {
                Ok(topic) => made.push(topic),
                // It has no leader yet, or somebody else was quicker.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) if passes(code) => {
                    return Err(AdminError::Unreachable(format!("making the topic {topic}: {code}")));
                }
                Err((topic, code)) => return Err(AdminError::Refused { topic, reason: code.to_string() }),
            }
        }
        self.wait_for(&missing).await.map(|()| made)
    }

    /// A topic that was made cannot be produced to before its partitions have leaders.
    async fn wait_for(&self, topics: &[&str]) -> Result<(), AdminError> {
        let until = Instant::now() + LEADERS_WITHIN;
        loop {
            let there = self.topics().await?;
            let without: Vec<_> = topics.iter().filter(|topic| !there.contains_key(**topic)).collect();
            if without.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(AdminError::NoLeaders(without.into_iter().map(|topic| (*topic).to_owned()).collect()));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

fn new_topic(name: &str, partitions: ShardCount, replicas: Option<u16>) -> NewTopic<'_> {
    // -1 is "the broker's own".
    let replicas = TopicReplication::Fixed(replicas.map_or(-1, i32::from));
    let topic = NewTopic::new(name, i32::from(partitions.get()), replicas)
        // Whatever a participant compresses with, the broker unpacks: our readers need no codec, and a message
        // that unpacks to more than the topic takes is refused where it is sent.
        .set("compression.type", "uncompressed");
    if name.ends_with(DEAD_LETTERS) { topic.set("max.message.bytes", MAX_TOPIC_BYTES) } else { topic }
}

/// [`MAX_PRODUCED_BYTES`] and the frame around one message.
const MAX_TOPIC_BYTES: &str = "2113536";
const _: () = assert!(MAX_PRODUCED_BYTES + 16 * 1024 == 2_113_536);

fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        BrokerTransportFailure, NotController, NotEnoughReplicas, OperationTimedOut, RequestTimedOut,
        ThrottlingQuotaExceeded,
    };
    matches!(
        code,
        RequestTimedOut
            | OperationTimedOut
            | NotController
            | BrokerTransportFailure
            | NotEnoughReplicas
            | ThrottlingQuotaExceeded
    )
}

fn unreachable(error: KafkaError) -> AdminError {
    AdminError::Unreachable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::topics::REPLIES;
    use super::*;

    #[test]
    fn dead_letters_may_be_larger_than_what_they_carry() {
        let shards = ShardCount::new(4).unwrap();
        for (name, limit) in [
            (REPLIES, None),
            (DEAD_LETTERS, Some(MAX_TOPIC_BYTES)),
            ("staging.saga.dead-letters", Some(MAX_TOPIC_BYTES)),
        ] {
            let topic = new_topic(name, shards, None);
            let found = topic.config.iter().find(|(key, _)| *key == "max.message.bytes");
            assert_eq!(found.map(|(_, value)| *value), limit, "{name}");
        }
    }
}
