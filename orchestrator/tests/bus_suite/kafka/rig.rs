//! Kafka under test: topics with names of their own, and the workers' clients.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use clap::{Args as _, Command, FromArgMatches as _};
use futures::future::join_all;
use orchestrator::bus::kafka::{KafkaBus, Settings};
use orchestrator::bus::{Bus, topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{CommitMode, Consumer as _, DefaultConsumerContext, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use saga_model::ids::ShardCount;
use service::kafka::{Admin, Batching, group_consumer, headers_of, producer, to_headers};
use service::settings::{Connections, KafkaBrokers, TopicPrefix};
use uuid::Uuid;

use crate::acks::{Acks, PATIENCE};
use crate::rig::{Msg, PARTITIONS, Rig, Taken};

pub struct KafkaRig {
    pub bus: Arc<KafkaBus>,
    pub acks: Acks,
    pub admin: Admin,
    pub brokers: KafkaBrokers,
    pub prefix: TopicPrefix,
    worker: FutureProducer,
    consumers: HashMap<String, StreamConsumer>,
}

const TOPICS: [&str; 4] = ["inventory.commands", "payment.commands", "order.created", topics::REPLIES];

/// The broker that the environment names.
pub fn brokers() -> KafkaBrokers {
    let brokers = std::env::var("KAFKA_BROKERS");
    brokers.expect("KAFKA_BROKERS is not set: run the tests with deploy/test").parse().unwrap()
}

/// A prefix, as the environment would give it.
fn prefix(text: &str) -> TopicPrefix {
    let arguments = ["saga", "--database-url", "postgres://x", "--kafka-brokers", "x:1", "--kafka-topic-prefix", text];
    let matches = Connections::augment_args(Command::new("saga")).get_matches_from(arguments);
    Connections::from_arg_matches(&matches).unwrap().kafka_topic_prefix
}

impl KafkaRig {
    pub async fn new() -> Self {
        Self::on(brokers()).await
    }

    pub async fn on(brokers: KafkaBrokers) -> Self {
        Self::with(brokers, |_| ()).await
    }

    /// A bus whose settings are not the usual ones.
    pub async fn with(brokers: KafkaBrokers, change: impl FnOnce(&mut Settings)) -> Self {
        let prefix = prefix(&format!("t{}.", &Uuid::new_v4().simple().to_string()[..12]));
        let admin = Admin::new(&brokers, "test").unwrap();
        let names = TOPICS.map(|topic| prefix.full(topic));
        let partitions = ShardCount::new(PARTITIONS).unwrap();
        admin.create_missing(&names.each_ref().map(String::as_str), partitions, None).await.unwrap();

        let mut settings = Settings::new(brokers.clone(), prefix.clone(), partitions);
        change(&mut settings);
        let acks = Acks::default();
        let bus = Arc::new(KafkaBus::new(&settings, &acks.sink()).unwrap());
        let worker = producer(&brokers, "test-worker", Batching::Prompt).create().unwrap();
        Self { bus, acks, admin, brokers, prefix, worker, consumers: HashMap::new() }
    }

    fn consumer(&mut self, topic: &str) -> &StreamConsumer {
        let (brokers, prefix) = (&self.brokers, &self.prefix);
        self.consumers.entry(topic.to_owned()).or_insert_with(|| {
            let group = prefix.full(&format!("worker-{}", topic.strip_suffix(".commands").unwrap_or("test")));
            let config = group_consumer(brokers, "test-worker", &group);
            let consumer: StreamConsumer = config.create_with_context(DefaultConsumerContext).unwrap();
            consumer.subscribe(&[&prefix.full(topic)]).unwrap();
            consumer
        })
    }
}

/// Topics of tests do not pile up on a broker that lives longer.
impl Drop for KafkaRig {
    fn drop(&mut self) {
        let admin: AdminClient<_> =
            ClientConfig::new().set("bootstrap.servers", self.brokers.as_str()).create().unwrap();
        // All: if one goes missing, the bus makes all.
        let topics = topics::ALL.map(|topic| self.prefix.full(topic));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        // One that a test deleted itself is no error.
        futures::executor::block_on(admin.delete_topics(&topics.each_ref().map(String::as_str), &options)).unwrap();
    }
}

#[async_trait]
impl Rig for KafkaRig {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn acks(&self) -> &Acks {
        &self.acks
    }

    async fn reply(&mut self, replies: Vec<Msg>) {
        let topic = self.prefix.full(topics::REPLIES);
        let sent = replies.iter().map(|msg| {
            let mut record = FutureRecord::to(&topic);
            (record.key, record.payload) = (msg.key.as_deref(), msg.value.as_deref());
            self.worker.send(record.headers(to_headers(&msg.headers)), Timeout::After(PATIENCE))
        });
        for delivery in join_all(sent).await {
            delivery.unwrap();
        }
    }

    async fn take(&mut self, topic: &str, count: usize) -> Vec<Taken> {
        let consumer = self.consumer(topic);
        let mut taken = Vec::new();
        let enough = async {
            while taken.len() < count {
                let message = consumer.recv().await.unwrap();
                let (partition, offset) = (message.partition(), message.offset());
                let key = message.key().map(<[u8]>::to_vec);
                let value = message.payload().map(<[u8]>::to_vec);
                taken.push(Taken { partition, offset, msg: Msg { key, value, headers: headers_of(&message) } });
            }
        };
        if tokio::time::timeout(PATIENCE, enough).await.is_err() {
            panic!("{} messages instead of {count}", taken.len());
        }
        taken
    }

    async fn done(&mut self, topic: &str) {
        let consumer = self.consumer(topic);
        let positions = consumer.position().unwrap();
        let mut read = rdkafka::TopicPartitionList::new();
        for element in positions.elements() {
            if matches!(element.offset(), rdkafka::Offset::Offset(_)) {
                read.add_partition_offset(element.topic(), element.partition(), element.offset()).unwrap();
            }
        }
        consumer.commit(&read, CommitMode::Sync).unwrap();
    }
}
