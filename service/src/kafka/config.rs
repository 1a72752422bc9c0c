//! The settings of clients. Where librdkafka's default would do, it is not repeated here; each line that stands
//! here has a reason.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::settings::KafkaBrokers;

/// The largest message that a producer of ours hands over: a dead letter carries a message that filled its own topic.
pub const MAX_PRODUCED_BYTES: usize = 2 * 1024 * 1024;

/// How a producer groups messages. It is a property of the producer, so who needs both has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Somebody waits: commands, replies and what goes with them. They are handed over in groups already. A broker's
    /// trouble may repeat them and change their order, which their readers must bear anyway.
    Prompt,
    /// Nobody waits: domain events. What costs the broker is requests, not messages. They stay in order.
    Grouped,
}

pub(super) fn client(brokers: &KafkaBrokers, client_id: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.as_str())
        .set("client.id", client_id)
        // A broker that comes back is found within a second; the default waits up to ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("retry.backoff.max.ms", "500")
        // A broker that has just started, or was frozen, names no brokers for a moment. The library then forgets all that
        // it knows, and would begin anew with the addresses above only after five minutes.
        .set("metadata.recovery.rebootstrap.trigger.ms", "3000")
        // Behind a firewall a silent connection would otherwise be found dead only when it is needed.
        .set("socket.keepalive.enable", "true")
        // Brokers close idle connections: nothing to tell anybody.
        .set("log.connection.close", "false")
        // Topics are made by `saga migrate`, never by a typing error.
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// A producer that loses nothing: all replicas, and no time limit, so that a broker that is away is waited for.
///
/// The library's idempotent producer takes an answer to a later request for one to those before. But a broker that has
/// no record of a producer takes any of its numbers for the first: it says yes to a later request, and the one that it
/// refused before is lost. So either the producer is not idempotent, and repeats a request that it is in doubt about,
/// or it has one request under way at a time, and its order within a partition is the order of sending.
pub fn producer(brokers: &KafkaBrokers, client_id: &str, batching: Batching) -> ClientConfig {
    let mut config = client(brokers, client_id);
    match batching {
        Batching::Prompt => config.set("enable.idempotence", "false").set("acks", "all"),
        Batching::Grouped => config.set("enable.idempotence", "true").set("max.in.flight.requests.per.connection", "1"),
    };
    config
        .set("message.timeout.ms", "0")
        // Keys land where the Java client would put them.
        .set("partitioner", "murmur2_random")
        .set(
            "linger.ms",
            match batching {
                Batching::Prompt => "0.5",
                Batching::Grouped => "200",
            },
        )
        // How much may wait is decided by who sends (by count of messages that are not acknowledged), not here.
        .set("queue.buffering.max.messages", "2000000")
        .set("queue.buffering.max.kbytes", "2097151")
        .set("message.max.bytes", (MAX_PRODUCED_BYTES + 4096).to_string())
        // A topic that was just made may not be known to every broker yet.
        .set("topic.metadata.propagation.max.ms", "60000");
    config
}

/// What all consumers have in common: they commit and store no offset by themselves.
fn consumer(brokers: &KafkaBrokers, client_id: &str, group: &str) -> ClientConfig {
    let mut config = client(brokers, client_id);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // A member that reads two topics hears of a new partition within half a minute, not five.
        .set("topic.metadata.refresh.interval.ms", "30000")
        // Memory for messages that were fetched and not looked at yet, for each consumer.
        .set("queued.max.messages.kbytes", "32768");
    config
}

/// A member of a group that shares the partitions of the topics it subscribes to. Whoever uses it commits what it
/// has answered, also when partitions are taken from it, and polls while it works.
pub fn group_consumer(brokers: &KafkaBrokers, client_id: &str, group: &str) -> ClientConfig {
    let mut config = consumer(brokers, client_id, group);
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        // A new member starts to work in about a second; with the default of 3 s between heartbeats it takes six.
        .set("heartbeat.interval.ms", "300")
        .set("session.timeout.ms", "10000");
    config
}

/// A consumer that is told which partitions to read, and from where. The group is a name that the library wants;
/// nothing is committed under it.
pub fn assigned_consumer(brokers: &KafkaBrokers, client_id: &str) -> ClientConfig {
    consumer(brokers, client_id, "saga-orchestrator")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings whose loss no quick test would notice: it would take an outage of minutes, or a lost offset.
    #[test]
    fn nothing_is_given_up_and_nothing_committed_behind_our_back() {
        let brokers = "127.0.0.1:9092".parse().unwrap();
        for batching in [Batching::Prompt, Batching::Grouped] {
            let config = producer(&brokers, "test", batching);
            assert_eq!(config.get("message.timeout.ms"), Some("0"));
            let one_at_a_time = config.get("max.in.flight.requests.per.connection") == Some("1");
            match config.get("enable.idempotence") {
                Some("true") => assert!(one_at_a_time, "its order is kept, and nothing is taken for acknowledged"),
                _ => assert_eq!((batching, config.get("acks")), (Batching::Prompt, Some("all"))),
            }
        }
        for config in [group_consumer(&brokers, "test", "worker-payment"), assigned_consumer(&brokers, "test")] {
            assert_eq!(config.get("enable.auto.commit"), Some("false"));
            assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
            assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
        }
    }
}
