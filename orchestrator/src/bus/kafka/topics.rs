//! Topics: checked at every start, and made again if somebody deletes one while we run. `saga migrate` makes them
//! first.

use std::sync::Arc;
use std::time::Duration;

use saga_model::ids::ShardCount;
use service::kafka::{Admin, AdminError};
use service::settings::TopicPrefix;

use crate::bus::topics::{ALL, REPLIES};

/// Why an instance cannot work with the topics as they are.
#[derive(Debug, thiserror::Error)]
pub enum WrongTopics {
    /// Somebody has to do something about it.
    #[error("Kafka lacks the topics {}: run `saga migrate`", .0.join(", "))]
    Missing(Vec<String>),
    /// Somebody has to do something about it.
    #[error(
        "the topic {REPLIES} has {there} partitions, and the database says {wanted} shards: stop all instances, \
         delete the topic and run `saga migrate`, which makes it anew (commands whose answers it held are sent again)"
    )]
    Partitions { there: usize, wanted: u16 },
    /// Try again.
    #[error(transparent)]
    Unseen(AdminError),
}

/// Checks that all of `topics` are there and usable, and that [`REPLIES`] has a partition for each shard.
///
/// # Errors
/// See [`WrongTopics`]: all but [`WrongTopics::Unseen`] last until somebody changes something.
pub async fn check(
    admin: &Admin,
    prefix: &TopicPrefix,
    topics: &[&str],
    shards: ShardCount,
) -> Result<(), WrongTopics> {
    let there = admin.topics().await.map_err(WrongTopics::Unseen)?;
    let missing: Vec<String> =
        topics.iter().map(|topic| prefix.full(topic)).filter(|topic| !there.contains_key(topic)).collect();
    if !missing.is_empty() {
        return Err(WrongTopics::Missing(missing));
    }
    match there.get(&prefix.full(REPLIES)) {
        Some(partitions) if *partitions == usize::from(shards.get()) => Ok(()),
        Some(partitions) => Err(WrongTopics::Partitions { there: *partitions, wanted: shards.get() }),
        None => Err(WrongTopics::Missing(vec![REPLIES.to_owned()])),
    }
}

/// Whoever deletes a topic may be about to make it anew, with settings that we do not know.
const GRACE: Duration = Duration::from_secs(3);

/// Makes topics again that somebody deleted, beside whoever misses one of them: all that are missing, for a process
/// that is started now would refuse to work without those that nobody has missed yet.
#[derive(Clone)]
pub(super) struct Mender {
    admin: Admin,
    /// All that there should be.
    topics: Arc<[String]>,
    partitions: ShardCount,
    replicas: Option<u16>,
    runtime: tokio::runtime::Handle,
}

impl Mender {
    /// Topics are made with that many partitions and replicas (the broker's own number unless said).
    pub(super) fn new(
        admin: Admin,
        prefix: &TopicPrefix,
        partitions: ShardCount,
        replicas: Option<u16>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let topics = ALL.iter().map(|topic| prefix.full(topic)).collect();
        Self { admin, topics, partitions, replicas, runtime }
    }

    /// Makes topics that are still missing in a moment, has `look` (which may block) learn of it, and then calls `done`, whether it
    /// could be made or not.
    pub(super) fn mend(
        &self,
        topic: Arc<str>,
        look: impl FnOnce(&str) + Send + 'static,
        done: impl FnOnce() + Send + 'static,
    ) {
        let Self { admin, topics, partitions, replicas, runtime } = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            match admin.create_missing(&topics, partitions, replicas).await {
                Ok(made) if made.is_empty() => {}
                Ok(made) => tracing::warn!(topics = made.join(", "), "Topics were missing and have been made again"),
                Err(error) => tracing::error!(%topic, %error, "A topic is missing and cannot be made"),
            }
            let looked = tokio::task::spawn_blocking(move || {
                look(&topic);
                done();
            });
            // Fails only if it panicked, or if the process ends.
            let _ended = looked.await;
        });
    }
}
