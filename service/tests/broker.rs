//! What the mock broker cannot do, on a real one: making topics, and messages that are too large.
//!
//! `KAFKA_BROKERS` says where it is. Topics have names of their own for each run, and are deleted.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use saga_model::Micros;
use saga_model::ids::ShardCount;
use service::headers::Headers;
use service::kafka::topics::DEAD_LETTERS;
use service::kafka::{Admin, AdminError, Batching, DeadLetter, Diagnosis, MAX_PRODUCED_BYTES, producer, to_headers};
use service::settings::KafkaBrokers;
use uuid::Uuid;

/// Longer than anything here takes.
const FOREVER: Duration = Duration::from_secs(30);

fn brokers() -> KafkaBrokers {
    let brokers = std::env::var("KAFKA_BROKERS")
        .expect("KAFKA_BROKERS is not set: these tests need a real Kafka; `deploy/test` starts one and runs them");
    brokers.parse().unwrap()
}

fn partitions(n: u16) -> ShardCount {
    ShardCount::new(n).unwrap()
}

/// The library's own client, to look at what ours did.
fn inspector(brokers: &KafkaBrokers) -> AdminClient<DefaultClientContext> {
    rdkafka::ClientConfig::new().set("bootstrap.servers", brokers.as_str()).create().unwrap()
}

async fn setting(inspector: &AdminClient<DefaultClientContext>, topic: &str, name: &str) -> Option<String> {
    let described = inspector.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await.unwrap();
    described[0].as_ref().unwrap().get(name).unwrap().value.clone()
}

#[tokio::test]
async fn missing_topics_are_made_and_others_left_alone() {
    let (brokers, run) = (brokers(), Uuid::new_v4());
    let names = ["a", "b"].map(|name| format!("test-{name}-{run}"));
    let [a, b] = names.each_ref().map(String::as_str);
    let admin = Admin::new(&brokers, "test").unwrap();

    assert_eq!(admin.create_missing(&[a], partitions(2), None).await.unwrap(), [a]);
    // Another number of partitions changes nothing about the one that is there.
    assert_eq!(admin.create_missing(&[a, b], partitions(8), Some(1)).await.unwrap(), [b]);
    assert_eq!(admin.create_missing(&[a, b], partitions(8), None).await.unwrap(), [""; 0]);
    let topics = admin.topics().await.unwrap();
    assert_eq!((topics.get(a), topics.get(b)), (Some(&2), Some(&8)));

    // What it says is made can be produced to at once.
    let producer: FutureProducer = producer(&brokers, "test", Batching::Prompt).create().unwrap();
    producer.send(FutureRecord::<str, str>::to(b).partition(7).payload("x"), FOREVER).await.unwrap();

    let inspector = inspector(&brokers);
    assert_eq!(setting(&inspector, b, "compression.type").await.as_deref(), Some("uncompressed"));
    inspector.delete_topics(&[a, b], &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_cannot_be_made_is_said_plainly() {
    let admin = Admin::new(&brokers(), "test").unwrap();
    for (name, replicas) in [("no such name!", None), (&*format!("test-replicas-{}", Uuid::new_v4()), Some(1_000))] {
        let error = admin.create_missing(&[name], partitions(1), replicas).await.unwrap_err();
        assert!(matches!(&error, AdminError::Refused { topic, .. } if topic == name), "{error}");
    }
}

#[tokio::test]
async fn several_may_make_the_same_topics_at_once() {
    let (brokers, name) = (brokers(), format!("test-race-{}", Uuid::new_v4()));
    let make =
        async || Admin::new(&brokers, "test").unwrap().create_missing(&[&name], partitions(1), None).await.unwrap();
    let made = tokio::join!(make(), make(), make());
    assert_eq!([made.0, made.1, made.2].concat(), [name.as_str()], "one made it");
    inspector(&brokers).delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn the_largest_dead_letter_can_be_sent() {
    let brokers = brokers();
    Admin::new(&brokers, "test").unwrap().create_missing(&[DEAD_LETTERS], partitions(4), None).await.unwrap();
    let (code, detail) = ("TOO_LARGE", "a test");
    let diagnosis = Diagnosis { topic: "test", partition: 0, offset: 0, code, detail, at: Micros(0) };
    let value = vec![b'x'; 2 * MAX_PRODUCED_BYTES];
    let letter = DeadLetter::new(&diagnosis, Some(b"test".to_vec()), Some(value), Headers::new());
    let producer: FutureProducer = producer(&brokers, "test", Batching::Grouped).create().unwrap();
    let headers = to_headers(&letter.headers);
    let record = FutureRecord::to(DEAD_LETTERS)
        .key(letter.key.as_ref().unwrap())
        .payload(letter.value.as_ref().unwrap())
        .headers(headers);
    let sent = producer.send(record, FOREVER).await.unwrap();

    // It is of no use to anybody.
    let end = rdkafka::Offset::Offset(sent.offset + 1);
    let mut until = rdkafka::TopicPartitionList::new();
    until.add_partition_offset(DEAD_LETTERS, sent.partition, end).unwrap();
    inspector(&brokers).delete_records(&until, &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unreachable() {
    let admin = Admin::new(&"127.0.0.1:1".parse().unwrap(), "test").unwrap();
    assert!(matches!(admin.topics().await, Err(AdminError::Unreachable(_))));
}
