//! How topics are made.

use clap::Args;
use saga_model::ids::ShardCount;

/// How `saga migrate` makes the topics that are missing.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Topics")]
pub struct KafkaTopicArgs {
    /// Partitions of each topic: 1, 2, 4, 8, 16, 32 or 64
    #[arg(long, env = "KAFKA_PARTITIONS", value_name = "NUMBER", default_value = "4", value_parser = partitions)]
    pub kafka_partitions: ShardCount,

    /// Replicas of each topic [default: the broker's own]
    #[arg(long, env = "KAFKA_REPLICATION", value_name = "NUMBER", value_parser = replication)]
    pub kafka_replication: Option<u16>,
}

fn partitions(text: &str) -> Result<ShardCount, String> {
    let number = whole(text).and_then(ShardCount::new);
    number.ok_or_else(|| "write one of 1, 2, 4, 8, 16, 32, 64".to_owned())
}

/// Kafka counts replicas in 16 bits with a sign.
fn replication(text: &str) -> Result<u16, String> {
    let number = whole(text).filter(|n| (1..=0x7fff).contains(n));
    number.ok_or_else(|| "write a whole number from 1, at most the number of brokers".to_owned())
}

fn whole(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
