//! What the library calls, on the thread that polls: partitions come and go.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::{client_error, client_log};
use tokio::sync::watch;

use super::standing::{Marked, Standing};

/// How long partitions that are taken away wait for the commands in hand.
const LET_GO: Duration = Duration::from_secs(5);

/// Marks as the library takes them.
pub(super) fn list_of(topic: &str, marks: &Marked) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, mark) in marks {
        list.add_partition_offset(topic, *partition, Offset::Offset(mark.next))?;
    }
    Ok(list)
}

/// See the module.
pub(super) struct Hooks {
    pub(super) topic: String,
    pub(super) standing: Arc<Standing>,
    pub(super) joined: watch::Sender<bool>,
}

impl ClientContext for Hooks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ConsumerContext for Hooks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(going) => {
                self.standing.wait_until_idle(LET_GO);
                let marks = self.standing.take_marks();
                if !marks.is_empty() {
                    let list = list_of(&self.topic, &marks);
                    if let Err(error) = list.and_then(|list| consumer.commit(&list, CommitMode::Sync)) {
                        // Whoever has them next gets the commands again, and the ledger has their answers.
                        tracing::info!(%error, "Offsets could not be committed before partitions went");
                    }
                }
                self.standing.let_go(&partitions(going));
            }
            Rebalance::Assign(coming) => self.standing.hold(partitions(coming)),
            Rebalance::Error(error) => tracing::warn!(%error, "The group of consumers could not be balanced"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(coming) = rebalance {
            // The library keeps a partition paused that was paused when it was taken away. Nobody would resume it.
            if let Err(error) = consumer.resume(coming) {
                tracing::warn!(%error, "Partitions that came may be paused");
            }
            self.joined.send_replace(true);
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}
