//! Kafka clients, against the mock broker that comes with the library.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, DeliveryResult, FutureProducer, FutureRecord, Producer, ProducerContext,
    ThreadedProducer,
};
use rdkafka::types::RDKafkaApiKey;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use saga_model::SagaId;
use saga_model::ids::ShardCount;
use service::headers::Headers;
use service::kafka::topics::{INVENTORY_COMMANDS, REPLIES};
use service::kafka::{Admin, Batching, assigned_consumer, group_consumer, headers_of, producer, to_headers};
use service::settings::KafkaBrokers;
use uuid::Uuid;

/// Longer than anything here takes.
const FOREVER: Duration = Duration::from_secs(30);
const PARTITIONS: u16 = 4;

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaBrokers) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in [REPLIES, INVENTORY_COMMANDS] {
        cluster.create_topic(topic, i32::from(PARTITIONS), 1).unwrap();
    }
    let brokers = cluster.bootstrap_servers().parse().unwrap();
    (cluster, brokers)
}

/// The mock broker holds a fetch back for as long as it may.
fn quick(mut config: ClientConfig) -> ClientConfig {
    config.set("fetch.wait.max.ms", "10");
    config
}

/// The next message, made into something by `read`.
fn next<T>(consumer: &BaseConsumer, read: impl Fn(&BorrowedMessage<'_>) -> T) -> T {
    let until = std::time::Instant::now() + FOREVER;
    while std::time::Instant::now() < until {
        match consumer.poll(Duration::from_millis(50)) {
            None => {}
            Some(Ok(message)) => return read(&message),
            Some(Err(error)) => panic!("{error}"),
        }
    }
    panic!("no message comes");
}

fn assign(consumer: &BaseConsumer, topic: &str, partition: i32, offset: Offset) {
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, partition, offset).unwrap();
    consumer.assign(&partitions).unwrap();
}

#[tokio::test]
async fn a_key_lands_on_the_partition_of_its_slot() {
    let (_cluster, brokers) = cluster();
    let producer: FutureProducer = producer(&brokers, "test", Batching::Prompt).create().unwrap();
    let shards = ShardCount::new(PARTITIONS).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..32 {
        let saga = SagaId::from(Uuid::new_v4());
        let key = saga.to_string();
        let sent = producer.send(FutureRecord::to(REPLIES).key(&key).payload("{}"), FOREVER).await.unwrap();
        assert_eq!(sent.partition, i32::from(saga.slot().shard(shards).0));
        seen.insert(sent.partition);
    }
    assert!(seen.len() > 1);
}

#[tokio::test]
async fn headers_come_as_they_went() {
    let (_cluster, brokers) = cluster();
    let producer: FutureProducer = producer(&brokers, "test", Batching::Prompt).create().unwrap();
    let sent = to_headers(
        &[("ce_id", &b"1"[..]), ("empty", b""), ("", b"nameless"), ("binary", b"\xff\0")].into_iter().collect(),
    );
    let sent = sent.insert(Header { key: "null", value: None::<&str> });
    let record = FutureRecord::<str, str>::to(REPLIES).partition(0).payload("{}").headers(sent);
    producer.send(record, FOREVER).await.unwrap();

    let consumer: BaseConsumer = quick(assigned_consumer(&brokers, "test")).create().unwrap();
    assign(&consumer, REPLIES, 0, Offset::Offset(0));
    let headers = next(&consumer, headers_of);
    let expected: [(&str, &[u8]); 5] =
        [("ce_id", b"1"), ("empty", b""), ("", b"nameless"), ("binary", b"\xff\0"), ("null", b"")];
    assert_eq!(headers, expected.into_iter().collect());
}

#[tokio::test]
async fn a_header_whose_name_is_not_text_ends_nothing() {
    let (_cluster, brokers) = cluster();
    let producer: ThreadedProducer<DefaultProducerContext> =
        producer(&brokers, "test", Batching::Prompt).create().unwrap();
    send_with_header(&producer, REPLIES, 0, b"caf\xe9\0");
    producer.flush(FOREVER).unwrap();

    let consumer: BaseConsumer = quick(assigned_consumer(&brokers, "test")).create().unwrap();
    assign(&consumer, REPLIES, 0, Offset::Offset(0));
    assert_eq!(next(&consumer, headers_of), [("caf\u{fffd}", b"x")].into_iter().collect());
}

/// Sends a message with one header, whose name (with its NUL) need not be text: no safe call takes such a name.
#[allow(unsafe_code)]
fn send_with_header(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    name_with_nul: &[u8],
) {
    use rdkafka::bindings::{
        rd_kafka_produceva, rd_kafka_vtype_t as Kind, rd_kafka_vu_s as Part, rd_kafka_vu_s__bindgen_ty_1 as Value,
        rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 as NativeHeader,
    };
    let topic = std::ffi::CString::new(topic).unwrap();
    let header = NativeHeader { name: name_with_nul.as_ptr().cast(), val: b"x".as_ptr().cast(), size: 1 };
    let parts = [
        Part { vtype: Kind::RD_KAFKA_VTYPE_TOPIC, u: Value { cstr: topic.as_ptr() } },
        Part { vtype: Kind::RD_KAFKA_VTYPE_PARTITION, u: Value { i32_: partition } },
        Part { vtype: Kind::RD_KAFKA_VTYPE_HEADER, u: Value { header } },
    ];
    assert_eq!(name_with_nul.last(), Some(&0));
    // SAFETY: the pointers outlive the call, which copies what they point to.
    let error = unsafe { rd_kafka_produceva(producer.client().native_ptr(), parts.as_ptr(), parts.len()) };
    assert!(error.is_null());
}

#[tokio::test]
async fn a_message_without_headers_has_none() {
    let (_cluster, brokers) = cluster();
    let producer: FutureProducer = producer(&brokers, "test", Batching::Grouped).create().unwrap();
    producer.send(FutureRecord::<str, str>::to(REPLIES).partition(1), FOREVER).await.unwrap();
    let consumer: BaseConsumer = quick(assigned_consumer(&brokers, "test")).create().unwrap();
    assign(&consumer, REPLIES, 1, Offset::Offset(0));
    let read =
        next(&consumer, |message| (headers_of(message), message.payload().map(<[u8]>::to_vec), message.offset()));
    assert_eq!(read, (Headers::default(), None, 0));
}

#[tokio::test]
async fn a_group_commits_only_what_it_is_told_to() {
    let (_cluster, brokers) = cluster();
    let producer: FutureProducer = producer(&brokers, "test", Batching::Prompt).create().unwrap();
    for n in ["0", "1", "2"] {
        let record = FutureRecord::<str, str>::to(INVENTORY_COMMANDS).partition(2).payload(n);
        producer.send(record, FOREVER).await.unwrap();
    }
    let member = || -> StreamConsumer {
        let mut config = quick(group_consumer(&brokers, "test", "worker-inventory"));
        // The mock broker lets the next member in only when the one that left would have timed out.
        config.set("session.timeout.ms", "4000");
        let member: StreamConsumer = config.create().unwrap();
        member.subscribe(&[INVENTORY_COMMANDS]).unwrap();
        member
    };
    let receive = async |member: &StreamConsumer| {
        let message = tokio::time::timeout(FOREVER, member.recv()).await.expect("a message comes").unwrap();
        message.offset()
    };
    {
        let first = member();
        assert_eq!(receive(&first).await, 0);
        let mut done = TopicPartitionList::new();
        done.add_partition_offset(INVENTORY_COMMANDS, 2, Offset::Offset(1)).unwrap();
        first.commit(&done, CommitMode::Sync).unwrap();
        assert_eq!(receive(&first).await, 1);
    }
    assert_eq!(receive(&member()).await, 1, "read but not committed: read again");
}

/// Counts deliveries, and keeps the first failure.
struct Deliveries(tokio::sync::mpsc::UnboundedSender<Result<i64, KafkaError>>);
impl ClientContext for Deliveries {}
impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        let delivered = delivered.as_ref().map(Message::offset).map_err(|(error, _)| error.clone());
        let _ended = self.0.send(delivered);
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let (cluster, brokers) = cluster();
    let (delivered, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
    let producer: ThreadedProducer<Deliveries> =
        producer(&brokers, "test", Batching::Prompt).create_with_context(Deliveries(delivered)).unwrap();
    let send = |value: &str| {
        producer
            .send(BaseRecord::<str, str>::to(REPLIES).partition(3).payload(value))
            .map_err(|(error, _)| error)
            .unwrap();
    };
    send("before");
    assert_eq!(deliveries.recv().await.unwrap(), Ok(0));
    cluster.broker_down(1).unwrap();
    send("during");
    assert!(producer.flush(Duration::from_millis(300)).is_err(), "nothing is delivered while the broker is away");
    assert!(deliveries.try_recv().is_err(), "and nothing is given up");
    cluster.broker_up(1).unwrap();
    let next = tokio::time::timeout(FOREVER, deliveries.recv()).await.expect("it is delivered").unwrap();
    assert_eq!(next, Ok(1));
}

#[tokio::test]
async fn topics_are_seen_with_their_partitions() {
    let (_cluster, brokers) = cluster();
    let topics = Admin::new(&brokers, "test").unwrap().topics().await.unwrap();
    assert_eq!(topics.get(REPLIES), Some(&usize::from(PARTITIONS)));
    assert_eq!(topics.get("nowhere"), None);
    let shards = ShardCount::new(PARTITIONS).unwrap();
    let admin = Admin::new(&brokers, "test").unwrap();
    assert_eq!(admin.create_missing(&[REPLIES], shards, None).await.unwrap(), Vec::<String>::new());
}

/// A broker that has no record of an idempotent producer takes any of its numbers for the first. So when the first request of one
/// is refused and the second, which was on its way already, is taken, the library believes that both were.
#[tokio::test]
async fn a_message_that_was_refused_is_sent_although_the_next_one_was_on_its_way() {
    for batching in [Batching::Prompt, Batching::Grouped] {
        let (cluster, brokers) = cluster();
        // Both are on their way before the first is answered.
        cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
        cluster.request_errors(RDKafkaApiKey::Produce, &[RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION]);
        let mut config = producer(&brokers, "test", batching);
        let sending: FutureProducer = config.set("batch.num.messages", "1").create().unwrap();
        let send = |text: &'static str| {
            let record = FutureRecord::<str, str>::to(REPLIES).partition(0).payload(text);
            sending.send_result(record).map_err(|(error, _)| error).unwrap()
        };
        for sent in [send("first"), send("second")] {
            sent.await.unwrap().unwrap();
        }
        let reading: BaseConsumer = quick(assigned_consumer(&brokers, "test")).create().unwrap();
        assign(&reading, REPLIES, 0, Offset::Beginning);
        let text = |message: &BorrowedMessage<'_>| message.payload_view::<str>().unwrap().unwrap().to_owned();
        let mut read = [next(&reading, text), next(&reading, text)];
        if batching == Batching::Prompt {
            read.sort(); // whoever reads these must bear any order
        }
        assert_eq!(read, ["first", "second"], "{batching:?}");
    }
}
