//! What a broker may answer that the client library does not get over, played by the library's mock broker.

use std::sync::Arc;
use std::time::Duration;

use orchestrator::bus::kafka::{KafkaBus, Settings};
use orchestrator::bus::{Bus, Class};
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use saga_model::ids::ShardCount;
use service::kafka::assigned_consumer;
use service::settings::TopicPrefix;

use crate::acks::{Acks, PATIENCE};
use crate::rig::{message, saga};

const TOPICS: [&str; 2] = ["refused", "other"];

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    bus: KafkaBus,
    acks: Acks,
}

impl Mock {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in TOPICS {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        let brokers = cluster.bootstrap_servers().parse().unwrap();
        let mut settings = Settings::new(brokers, TopicPrefix::default(), ShardCount::new(1).unwrap());
        settings.park_for = Duration::from_millis(300);
        let acks = Acks::default();
        let bus = KafkaBus::new(&settings, &acks.sink()).unwrap();
        Self { cluster, bus, acks }
    }

    fn send(&self, topic: &str, class: Class, numbers: std::ops::Range<u64>) {
        let topic = Arc::from(topic);
        self.bus.send(numbers.map(|n| message(&topic, class, saga(1), n)).collect());
    }

    /// The next produce requests are answered so.
    fn refuse(&self, errors: &[RDKafkaRespErr]) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, errors);
    }

    /// What a topic holds.
    fn numbers(&self, topic: &str) -> Vec<u64> {
        let brokers = self.cluster.bootstrap_servers().parse().unwrap();
        let reader: BaseConsumer = assigned_consumer(&brokers, "test").create().unwrap();
        let (_, end) = reader.fetch_watermarks(topic, 0, PATIENCE).unwrap();
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        reader.assign(&all).unwrap();
        let read = std::iter::from_fn(|| reader.poll(PATIENCE)).map(|message| {
            let message = message.unwrap();
            (message.offset(), message.payload_view::<str>().unwrap().unwrap().parse().unwrap())
        });
        let mut numbers = Vec::new();
        for (offset, number) in read {
            numbers.push(number);
            if offset + 1 == end {
                return numbers;
            }
        }
        panic!("the topic did not end at {end}: {numbers:?}");
    }
}

/// The numbers without repeats, each where it came first.
fn first_occurrences(numbers: &[u64]) -> Vec<u64> {
    let mut first = Vec::new();
    for number in numbers {
        if !first.contains(number) {
            first.push(*number);
        }
    }
    first
}

/// Commands need not keep their order then: one that is under way behind a refused one may arrive.
fn assert_arrived(class: Class, found: &[u64], mut sent: Vec<u64>) {
    let mut found = first_occurrences(found);
    if class == Class::Command {
        found.sort_unstable();
        sent.sort_unstable();
    }
    assert_eq!(found, sent);
}

async fn refused_then_all_arrive(class: Class, errors: &[RDKafkaRespErr]) {
    let mock = Mock::new();
    mock.send("refused", class, 0..10);
    mock.send("other", class, 0..10);
    mock.acks.wait_for(20).await;
    mock.refuse(errors);
    mock.send("refused", class, 10..60);
    mock.acks.wait_for(70).await;
    for n in 60..160 {
        mock.send("refused", class, n..n + 1);
        mock.send("other", class, n..n + 1);
    }
    mock.bus.flush(PATIENCE).await;
    assert_eq!(mock.bus.unacked(), 0);
    assert_eq!(mock.acks.now().len(), 270, "one acknowledgement for each message");
    assert_arrived(class, &mock.numbers("refused"), (0..160).collect());
    assert_arrived(class, &mock.numbers("other"), (0..10).chain(60..160).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_may_not_be_written_are_sent_again() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_POLICY_VIOLATION as POLICY, RD_KAFKA_RESP_ERR_UNKNOWN as UNKNOWN};
    refused_then_all_arrive(Class::Command, &[POLICY, UNKNOWN, POLICY]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_may_not_be_written_are_sent_again_by_a_new_client() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_POLICY_VIOLATION as POLICY, RD_KAFKA_RESP_ERR_UNKNOWN as UNKNOWN};
    refused_then_all_arrive(Class::Event, &[POLICY, UNKNOWN, POLICY]).await;
}

/// At the head of the line the library calls this the end of the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_to_a_fatal_error_is_replaced() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as OUT_OF_ORDER;
    refused_then_all_arrive(Class::Command, &[OUT_OF_ORDER]).await;
    refused_then_all_arrive(Class::Event, &[OUT_OF_ORDER]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_refused_for_itself_is_put_aside_and_sent_later() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as TOO_LARGE;
    let mock = Mock::new();
    mock.send("refused", Class::Event, 0..1);
    mock.acks.wait_for(1).await;
    // The batch, then its first message alone.
    mock.refuse(&[TOO_LARGE, TOO_LARGE]);
    mock.send("refused", Class::Event, 1..11);
    mock.acks.wait_for(11).await;
    let expected: Vec<u64> = [0].into_iter().chain(2..11).chain([1]).collect();
    assert_eq!(first_occurrences(&mock.numbers("refused")), expected);
}
