//! The road over Kafka.

mod hearing;
mod hooks;
mod parcel;
mod sink;
mod source;
mod standing;

use rdkafka::error::KafkaError;
use saga_model::ids::ShardCount;
use service::kafka::{Admin, AdminError, topics};
use service::settings::{KafkaBrokers, TopicPrefix};

pub use sink::KafkaSink;
pub use source::KafkaSource;

/// The cluster, and which part of it is ours.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub brokers: KafkaBrokers,
    pub prefix: TopicPrefix,
    /// What the clients of this process are called in the broker's log.
    pub client_id: String,
}

/// Why a worker cannot work on a cluster.
#[derive(Debug, thiserror::Error)]
pub enum WrongCluster {
    #[error("Kafka lacks the topics {}: run `saga migrate`", .0.join(", "))]
    Missing(Vec<String>),
    #[error(
        "the topic {topic} has {there} partitions, and the database says {wanted} shards: stop all processes, delete the \
         topic and run `saga migrate`",
        topic = topics::REPLIES
    )]
    Partitions { there: usize, wanted: u16 },
    /// It passes: try again.
    #[error(transparent)]
    Unseen(#[from] AdminError),
    #[error("the Kafka client cannot be made: {0}")]
    Client(#[from] KafkaError),
}

impl Cluster {
    /// Checks that the topics that a worker needs are there, with a partition of the replies for each shard.
    ///
    /// # Errors
    /// See [`WrongCluster`].
    pub async fn check(&self, admin: &Admin, needed: &[&str], shards: ShardCount) -> Result<(), WrongCluster> {
        let there = admin.topics().await?;
        let missing: Vec<String> =
            needed.iter().map(|topic| self.prefix.full(topic)).filter(|topic| !there.contains_key(topic)).collect();
        if !missing.is_empty() {
            return Err(WrongCluster::Missing(missing));
        }
        match there.get(&self.prefix.full(topics::REPLIES)) {
            Some(partitions) if *partitions != usize::from(shards.get()) => {
                Err(WrongCluster::Partitions { there: *partitions, wanted: shards.get() })
            }
            Some(_) | None => Ok(()), // as many as there should be, or it is not needed
        }
    }
}
