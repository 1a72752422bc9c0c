//! Brokers that go away, and topics that somebody deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orchestrator::bus::kafka::topics::{WrongTopics, check};
use orchestrator::bus::{Bus, Class, topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use saga_model::ids::{ShardCount, ShardId};
use service::kafka::{Admin, Batching, producer};
use workers::transport::Source as _;
use workers::transport::kafka::{Cluster, KafkaSource};

use super::broker::Broker;
use super::rig::{KafkaRig, brokers};
use crate::acks::PATIENCE;
use crate::rig::{Msg, PARTITIONS, Rig, Taken, eventually, message, no_replies, on_partition, replies, saga, values};

/// That each number arrived, and for the first time in order within its partition.
fn assert_all_in_order(taken: Vec<Taken>, numbers: std::ops::Range<u64>) {
    let mut seen: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    for taken in taken {
        let number = taken.number();
        let seen = seen.entry(taken.partition).or_default();
        if !seen.contains(&number) {
            assert!(seen.last().is_none_or(|last| *last < number), "{number} after {:?}", seen.last());
            seen.push(number);
        }
    }
    let mut all: Vec<u64> = seen.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, numbers.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_is_waited_for() {
    let broker = Broker::start();
    let mut rig = KafkaRig::on(broker.brokers()).await;
    let topic = Arc::from("inventory.commands");
    let send = |bus: &dyn Bus, from: u64| {
        for n in (from..from + 1000).step_by(100) {
            bus.send((n..n + 100).map(|n| message(&topic, Class::Command, saga(u128::from(n) % 50), n)).collect());
        }
    };
    rig.bus.assign_replies(ShardId(1), 0);
    let worker = on_partition(1).next().unwrap().to_string();
    rig.reply(vec![Msg::of(&worker, "before")]).await;
    assert_eq!(values(&replies(&*rig.bus, 1).await), ["before"]);
    send(&*rig.bus, 0);
    rig.acks.wait_for(1).await;
    broker.kill();
    send(&*rig.bus, 1000);
    rig.bus.ping().await.unwrap_err();
    rig.bus.reply_end(ShardId(0)).await.unwrap_err();
    rig.bus.progress("inventory.commands").await.unwrap_err();
    rig.bus.flush(Duration::from_millis(1)).await;
    assert!(rig.bus.unacked() >= 1000);

    broker.start_again();
    rig.acks.wait_for(2000).await;
    eventually(async || rig.bus.unacked(), |unacked| *unacked == 0).await;
    rig.reply(vec![Msg::of(&worker, "after")]).await;
    assert_eq!(values(&replies(&*rig.bus, 1).await), ["after"]);
    rig.bus.ping().await.unwrap();
    assert_eq!(rig.bus.reply_end(ShardId(1)).await.unwrap(), 2);
    // Commands may have come more than once, and in any order.
    let mut there: BTreeSet<u64> = BTreeSet::new();
    while there.len() < 2000 {
        there.extend(rig.take("inventory.commands", 1).await.iter().map(Taken::number));
    }
    assert_eq!(there, (0..2000).collect());
}

struct Operator(AdminClient<DefaultClientContext>);

impl Operator {
    fn of(rig: &KafkaRig) -> Self {
        Self(ClientConfig::new().set("bootstrap.servers", rig.brokers.as_str()).create().unwrap())
    }

    /// Deletes a topic and waits until it is gone.
    async fn delete(&self, rig: &KafkaRig, topic: &str) {
        let topic = rig.prefix.full(topic);
        let deleted = self.0.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        eventually(async || rig.admin.topics().await.unwrap(), |topics| !topics.contains_key(&topic)).await;
    }

    async fn create(&self, rig: &KafkaRig, topic: &str) {
        let partitions = ShardCount::new(PARTITIONS).unwrap();
        rig.admin.create_missing(&[&rig.prefix.full(topic)], partitions, None).await.unwrap();
    }

    /// A topic that takes batches of 20 KB.
    async fn create_for_small(&self, rig: &KafkaRig, topic: &str) {
        let topic = rig.prefix.full(topic);
        let small = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "20000");
        let created = self.0.create_topics(&[small], &AdminOptions::new()).await.unwrap();
        assert!(created.iter().all(Result::is_ok), "{created:?}");
        eventually(async || rig.admin.topics().await.unwrap(), |topics| topics.contains_key(&topic)).await;
    }

    async fn raise_limit(&self, rig: &KafkaRig, topic: &str) {
        let topic = rig.prefix.full(topic);
        let limit = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "1000000");
        let altered = self.0.alter_configs(&[limit], &AdminOptions::new()).await.unwrap();
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_is_made_again_and_the_messages_sent() {
    let mut rig = KafkaRig::new().await;
    let (lost, other) = (Arc::from("inventory.commands"), Arc::from("payment.commands"));
    let on = |topic: &Arc<str>, n: u64| message(topic, Class::Event, saga(u128::from(n) % 5), n);
    rig.bus.send(vec![on(&lost, 1000), on(&other, 0)]);
    rig.acks.wait_for(2).await;
    let operator = Operator::of(&rig);
    let unused = "order.created";
    operator.delete(&rig, unused).await;
    operator.delete(&rig, &lost).await;
    rig.bus.send((0..100).map(|n| on(&lost, n)).collect());
    // The others do not wait for it.
    rig.bus.send((1..100).map(|n| on(&other, n)).collect());
    rig.acks.wait_for(2 + 99).await;
    // Nobody else makes the topic.
    rig.acks.wait_for(2 + 99 + 100).await;
    let topics = rig.admin.topics().await.unwrap();
    assert_eq!(topics[&rig.prefix.full(&lost)], usize::from(PARTITIONS));
    // Without it a process that is started now would refuse to work.
    assert_eq!(topics[&rig.prefix.full(unused)], usize::from(PARTITIONS));
    rig.bus.send((100..200).map(|n| on(&lost, n)).collect());
    assert_all_in_order(rig.take(&lost, 200).await, 0..200);
    eventually(async || rig.bus.unacked(), |unacked| *unacked == 0).await;
}

/// The library takes for outdated what the broker says of a topic that was made anew, as long as the old one had seen
/// more changes of its leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_made_anew_are_read_although_the_old_ones_had_seen_a_restart() {
    let broker = Broker::start();
    let mut rig = KafkaRig::on(broker.brokers()).await;
    let cluster = Cluster { brokers: broker.brokers(), prefix: rig.prefix.clone(), client_id: "test".to_owned() };
    let mut source = KafkaSource::join(&cluster, "payment.commands", "worker-payment").unwrap();
    let mut joined = source.joined();
    joined.wait_for(|joined| *joined).await.unwrap();
    rig.bus.assign_replies(ShardId(1), 0);
    let (worker, topic) = (on_partition(1).next().unwrap().to_string(), Arc::from("payment.commands"));
    for (n, word) in ["before", "between", "after"].into_iter().enumerate() {
        if word == "after" {
            let operator = Operator::of(&rig);
            for topic in [topics::REPLIES, "payment.commands"] {
                operator.delete(&rig, topic).await;
                operator.create(&rig, topic).await;
            }
        }
        rig.bus.send(vec![message(&topic, Class::Command, saga(1), n as u64)]);
        let number = n.to_string().into_bytes();
        let command = async {
            // What was not marked as done may come again.
            while !source.next().await.unwrap().iter().any(|read| read.value.as_ref() == Some(&number)) {}
        };
        tokio::time::timeout(PATIENCE, command).await.expect(word);
        rig.reply(vec![Msg::of(&worker, word)]).await;
        // The engine asks when a timer is due.
        let bus = rig.bus.clone();
        let asking = tokio::spawn(async move { while bus.reply_end(ShardId(1)).await.is_err() {} });
        assert_eq!(values(&replies(&*rig.bus, 1).await), [word]);
        asking.await.unwrap();
        if word == "before" {
            broker.kill();
            broker.start_again();
            eventually(async || rig.bus.ping().await.is_ok(), |there| *there).await;
        }
    }
    source.close().await;
}

/// A reply topic with `before` replies read is deleted and made again, with `after` replies in it.
async fn replies_topic_is_replaced(before: u32, after: u32) {
    let mut rig = KafkaRig::new().await;
    let worker = on_partition(2).next().unwrap().to_string();
    let answers = |rows: std::ops::Range<u32>| rows.map(|n| Msg::of(&worker, &n.to_string())).collect::<Vec<_>>();
    rig.bus.assign_replies(ShardId(2), 0);
    rig.reply(answers(0..before)).await;
    assert_eq!(replies(&*rig.bus, before as usize).await.len(), before as usize);
    let end = rig.bus.reply_end(ShardId(2)).await.unwrap();
    assert_eq!(end, i64::from(before));

    let operator = Operator::of(&rig);
    let reading = tokio::spawn({
        let bus = rig.bus.clone();
        async move { replies(&*bus, after as usize).await }
    });
    operator.delete(&rig, topics::REPLIES).await;
    operator.create(&rig, topics::REPLIES).await;
    // The engine asks now and then.
    let ends = async || rig.bus.reply_end(ShardId(2)).await.ok();
    eventually(ends, |end| *end == Some(0)).await;
    rig.reply(answers(1000..1000 + after)).await;
    let expected: Vec<String> = (1000..1000 + after).map(|n| n.to_string()).collect();
    assert_eq!(values(&reading.await.unwrap()), expected);
    let end = eventually(async || rig.bus.reply_end(ShardId(2)).await, Result::is_ok).await;
    assert_eq!(end.unwrap(), i64::from(after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shorter_topic_of_replies_is_read_from_its_beginning() {
    replies_topic_is_replaced(10, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_topic_of_replies_is_read_from_its_beginning() {
    replies_topic_is_replaced(3, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_of_replies_is_made_again() {
    let mut rig = KafkaRig::new().await;
    let worker = on_partition(2).next().unwrap().to_string();
    rig.bus.assign_replies(ShardId(2), 0);
    rig.reply(vec![Msg::of(&worker, "before")]).await;
    replies(&*rig.bus, 1).await;
    let reading = tokio::spawn({
        let bus = rig.bus.clone();
        async move { replies(&*bus, 1).await }
    });
    let replies_topic = rig.prefix.full(topics::REPLIES);
    Operator::of(&rig).delete(&rig, topics::REPLIES).await;
    eventually(async || rig.admin.topics().await.unwrap(), |topics| topics.contains_key(&replies_topic)).await;
    rig.reply(vec![Msg::of(&worker, "after")]).await;
    assert_eq!(values(&reading.await.unwrap()), ["after"]);
}

/// A worker may write in transactions: each leaves a mark behind it that takes an offset and is no message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_replies_is_behind_the_last_message() {
    let rig = KafkaRig::new().await;
    let mut config = producer(&rig.brokers, "test-worker", Batching::Grouped);
    config.set("transactional.id", rig.prefix.full("worker"));
    let worker: FutureProducer = config.create().unwrap();
    let (topic, key) = (rig.prefix.full(topics::REPLIES), on_partition(2).next().unwrap().to_string());
    rig.bus.assign_replies(ShardId(2), 0);
    worker.init_transactions(PATIENCE).unwrap();
    worker.begin_transaction().unwrap();
    for _ in 0..2 {
        worker.send(FutureRecord::to(&topic).key(&key).payload("x"), Timeout::After(PATIENCE)).await.unwrap();
    }
    worker.commit_transaction(PATIENCE).unwrap();
    worker.begin_transaction().unwrap();
    worker.send(FutureRecord::to(&topic).key(&key).payload("never"), Timeout::After(PATIENCE)).await.unwrap();
    worker.abort_transaction(PATIENCE).unwrap();
    let read = replies(&*rig.bus, 2).await;
    assert_eq!(read.last().unwrap().1.offset, 1);
    let reading = tokio::spawn({
        let bus = rig.bus.clone();
        async move { bus.next_replies().await }
    });
    let ends = async || rig.bus.reply_end(ShardId(2)).await;
    assert_eq!(eventually(ends, Result::is_ok).await.unwrap(), 2);
    reading.abort();
    // To who does not read it, it says what the broker says.
    rig.bus.unassign_replies(ShardId(2));
    no_replies(&*rig.bus).await;
    assert_eq!(rig.bus.reply_end(ShardId(2)).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_keeps_nobody_waiting() {
    let mut rig = KafkaRig::with(brokers(), |settings| settings.park_for = Duration::from_millis(500)).await;
    let (topic, operator) = (Arc::from("small.commands"), Operator::of(&rig));
    operator.create_for_small(&rig, &topic).await;
    let on = |n: u64| message(&topic, Class::Command, saga(1), n);
    let mut large = on(7);
    large.headers.push("padding", &[b'x'; 50_000]);
    rig.bus.send((0..100).map(|n| if n == 7 { large.clone() } else { on(n) }).collect());
    rig.acks.wait_for(99).await;
    rig.bus.send((100..200).map(on).collect());
    rig.acks.wait_for(199).await;
    // An acknowledgement is counted just after it was passed on.
    eventually(async || rig.bus.unacked(), |unacked| *unacked == 1).await;
    let taken = rig.take(&topic, 199).await;
    // The order of commands is not promised.
    let mut numbers: Vec<u64> = taken.iter().map(|taken| text(taken).parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq((0..200).filter(|n| *n != 7)), "{numbers:?}");

    operator.raise_limit(&rig, &topic).await;
    rig.acks.wait_for(200).await;
    assert_eq!(text(&rig.take(&topic, 1).await[0]), "7");
    operator.delete(&rig, &topic).await;
}

fn text(taken: &Taken) -> &str {
    std::str::from_utf8(taken.msg.value.as_deref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_topics_are_refused_with_what_to_do() {
    let rig = KafkaRig::new().await;
    let shards = |n| ShardCount::new(n).unwrap();
    let wanted = ["inventory.commands", topics::REPLIES];
    check(&rig.admin, &rig.prefix, &wanted, shards(PARTITIONS)).await.unwrap();
    let missing = check(&rig.admin, &rig.prefix, &["inventory.commands", "unheard.of"], shards(PARTITIONS)).await;
    assert!(matches!(&missing, Err(WrongTopics::Missing(topics)) if topics[0].ends_with("unheard.of")), "{missing:?}");
    assert!(missing.unwrap_err().to_string().contains("saga migrate"));
    let other = check(&rig.admin, &rig.prefix, &wanted, shards(8)).await;
    assert!(matches!(other, Err(WrongTopics::Partitions { there: 4, wanted: 8 })), "{other:?}");
    let nobody = Admin::new(&"127.0.0.1:1".parse().unwrap(), "test").unwrap();
    let unseen =
        tokio::time::timeout(PATIENCE, check(&nobody, &rig.prefix, &wanted, shards(PARTITIONS))).await.unwrap();
    assert!(matches!(unseen, Err(WrongTopics::Unseen(_))), "{unseen:?}");
}
