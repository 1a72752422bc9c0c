//! A part of the real Kafka of a test's own: topics under a prefix that no other test has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use saga_model::SagaId;
use saga_model::ids::ShardCount;
use saga_model::wire::reply::{self, ReplyMessage};
use service::headers::Headers;
use service::kafka::{Admin, Batching, assigned_consumer, group_consumer, headers_of, producer, to_headers, topics};
use service::settings::TopicPrefix;
use workers::transport::kafka::Cluster;

use super::commands::Ask;
use super::database::setting;

/// Longer than anything takes that works.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PARTITIONS: u16 = 4;

/// A cluster with all topics, and a client of it.
pub struct Town {
    pub cluster: Cluster,
    pub prefix: String,
    producer: FutureProducer,
}

/// A message that was read.
#[derive(Debug, Clone)]
pub struct Read {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
    pub partition: i32,
    pub offset: i64,
}

impl Read {
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.text(name).map(str::to_owned)
    }

    pub fn reply(&self) -> ReplyMessage {
        reply::parse(self.value.as_deref().unwrap()).expect("a reply can be read")
    }
}

/// A topic prefix as a command line reads it.
pub fn prefix(text: &str) -> TopicPrefix {
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        connections: service::settings::Connections,
    }
    let flags =
        ["test", "--database-url=postgres://x@y/z", "--kafka-brokers=x:1", &format!("--kafka-topic-prefix={text}")];
    <Flags as clap::Parser>::parse_from(flags).connections.kafka_topic_prefix
}

impl Town {
    /// With all topics.
    pub async fn new() -> Self {
        let town = Self::without_topics();
        town.make_topics().await;
        town
    }

    pub async fn make_topics(&self) {
        let admin = Admin::new(&self.cluster.brokers, "test").unwrap();
        let names = topics::ALL.map(|topic| self.cluster.prefix.full(topic));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        admin.create_missing(&names, ShardCount::new(PARTITIONS).unwrap(), None).await.expect("topics");
    }

    pub fn without_topics() -> Self {
        let brokers: service::settings::KafkaBrokers = setting("KAFKA_BROKERS").parse().unwrap();
        let name = format!("t{}.", uuid::Uuid::new_v4().simple());
        let client = producer(&brokers, "test", Batching::Prompt).create().unwrap();
        let cluster = Cluster { brokers, prefix: prefix(&name), client_id: "test".to_owned() };
        Self { cluster, prefix: name, producer: client }
    }

    /// Sends a message as it is.
    pub async fn send(&self, topic: &str, key: Option<&str>, value: &[u8], headers: &[(&str, &[u8])]) {
        let topic = self.cluster.prefix.full(topic);
        let mut record = FutureRecord::<str, [u8]>::to(&topic)
            .payload(value)
            .headers(to_headers(&headers.iter().copied().collect()));
        record.key = key;
        self.producer.send(record, PATIENCE).await.expect("the broker takes it");
    }

    /// Sends a command.
    pub async fn ask(&self, topic: &str, ask: &Ask) {
        let value = ask.value().to_string().into_bytes();
        self.send(topic, Some(&ask.saga.to_string()), &value, &[]).await;
    }

    /// Says that an order is confirmed.
    pub async fn confirm(&self, saga: SagaId) {
        let value = serde_json::json!({"orderId": saga, "items": {}}).to_string().into_bytes();
        self.send(topics::ORDER_CONFIRMED, Some(&saga.to_string()), &value, &[]).await;
    }

    /// A reader of a whole topic, from its beginning.
    pub fn reader(&self, topic: &str) -> Reader {
        let topic = self.cluster.prefix.full(topic);
        let consumer: BaseConsumer = assigned_consumer(&self.cluster.brokers, "test").create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..i32::from(PARTITIONS) {
            all.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        Reader { consumer: Some(consumer) }
    }

    /// What a group has committed, by partition, without those where nothing is.
    pub async fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let (group, topic) = (self.cluster.prefix.full(group), self.cluster.prefix.full(topic));
        let config = group_consumer(&self.cluster.brokers, "test", &group);
        let ask = move || {
            // It never joins: it only asks.
            let consumer: BaseConsumer = config.create().unwrap();
            let mut all = TopicPartitionList::new();
            all.add_partition_range(&topic, 0, i32::from(PARTITIONS) - 1);
            let committed = consumer.committed_offsets(all, PATIENCE).unwrap();
            let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                Some((element.partition(), element.offset().to_raw().filter(|offset| *offset >= 0)?))
            };
            committed.elements().iter().filter_map(offset).collect()
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    /// Deletes a topic, and waits until it is not there.
    pub async fn delete_topic(&self, topic: &str) {
        let name = self.cluster.prefix.full(topic);
        let deleter: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", setting("KAFKA_BROKERS")).create().unwrap();
        for deleted in deleter.delete_topics(&[&name], &AdminOptions::new()).await.unwrap() {
            deleted.unwrap();
        }
        let admin = Admin::new(&self.cluster.brokers, "test").unwrap();
        let gone = async { while admin.topics().await.unwrap().contains_key(&name) {} };
        tokio::time::timeout(PATIENCE, gone).await.expect("it goes");
    }

    /// Waits until `holds` of a group's state and the number of its members.
    pub async fn wait_group(&self, group: &str, holds: impl Fn(&str, usize) -> bool) {
        let group = self.cluster.prefix.full(group);
        let consumer: BaseConsumer = group_consumer(&self.cluster.brokers, "test", &group).create().unwrap();
        let consumer = Arc::new(consumer);
        let found = async {
            loop {
                let (consumer, group) = (Arc::clone(&consumer), group.clone());
                let ask = move || {
                    let groups = consumer.fetch_group_list(Some(&group), PATIENCE).unwrap();
                    groups.groups().first().map(|group| (group.state().to_owned(), group.members().len()))
                };
                let found = tokio::task::spawn_blocking(ask).await.unwrap();
                if found.is_some_and(|(state, members)| holds(&state, members)) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the group comes so far");
    }

    /// Waits until a group has committed so many messages of a topic.
    pub async fn wait_committed(&self, group: &str, topic: &str, messages: i64) {
        let all = async {
            while self.committed(group, topic).await.values().sum::<i64>() < messages {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("offsets are committed in time");
    }
}

/// Reads a topic.
pub struct Reader {
    consumer: Option<BaseConsumer>,
}

impl Reader {
    /// Waits for the next message.
    pub async fn next(&mut self) -> Read {
        let consumer = self.consumer.take().expect("one reading at a time");
        let read = tokio::task::spawn_blocking(move || {
            let until = std::time::Instant::now() + PATIENCE;
            while std::time::Instant::now() < until {
                if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                    let message = message.expect("the broker is there");
                    let read = Read {
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers: headers_of(&message),
                        partition: message.partition(),
                        offset: message.offset(),
                    };
                    drop(message);
                    return (consumer, read);
                }
            }
            panic!("no message came in time");
        });
        let (consumer, read) = read.await.unwrap();
        self.consumer = Some(consumer);
        read
    }

    /// Waits for so many replies.
    pub async fn replies(&mut self, count: usize) -> Vec<ReplyMessage> {
        let mut replies = Vec::with_capacity(count);
        while replies.len() < count {
            replies.push(self.next().await.reply());
        }
        replies
    }
}
