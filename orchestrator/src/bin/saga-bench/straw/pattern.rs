//! What the straw pipeline sends and stores: copies of what the real system did.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::{assigned_consumer, topics};
use service::settings::KafkaBrokers;
use sqlx::{Connection, Row};

/// How long a topic that was just written may take to be read.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message as the real system sent it.
pub struct Letter {
    /// Without the prefix.
    pub topic: &'static str,
    pub headers: OwnedHeaders,
    pub payload: Vec<u8>,
}

/// A transition of a saga that ended well: its line in the history, and what went out with it.
pub struct Transition {
    pub data: String,
    pub command: Option<Letter>,
    pub event: Option<Letter>,
}

/// A saga to be repeated.
pub struct Pattern {
    pub brokers: KafkaBrokers,
    /// Where databases can be made.
    pub admin_url: String,
    pub input: String,
    pub state: String,
    /// The start and the three replies.
    pub transitions: [Transition; 4],
    pub reply: Letter,
}

impl Pattern {
    /// Looks at a saga that ended well and at the messages of the run.
    ///
    /// # Errors
    /// If there is none, or a topic has nothing.
    pub async fn of(database_url: &str, admin_url: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut sql = sqlx::PgConnection::connect(database_url).await?;
        let query = "SELECT id, input, state FROM saga WHERE status = 'COMPLETED' ORDER BY updated_at DESC LIMIT 1";
        let saga = sqlx::query(query).fetch_optional(&mut sql).await?.context("no order has ended well")?;
        let query = "SELECT data FROM history WHERE saga_id = $1 ORDER BY seq";
        let history = sqlx::query(query).bind(saga.get::<uuid::Uuid, _>(0)).fetch_all(&mut sql).await?;
        let brokers: KafkaBrokers = std::env::var("KAFKA_BROKERS").context("KAFKA_BROKERS is not set")?.parse()?;
        let consumer: BaseConsumer = assigned_consumer(&brokers, "saga-bench").create()?;
        let letter = |topic| letter(&consumer, prefix, topic);
        let commands = [topics::INVENTORY_COMMANDS, topics::PAYMENT_COMMANDS, topics::NOTIFICATION_COMMANDS];
        let events =
            [topics::ORDER_CREATED, topics::INVENTORY_RESERVED, topics::PAYMENT_SUCCESS, topics::ORDER_CONFIRMED];
        let transition = |n: usize| -> anyhow::Result<Transition> {
            // A saga that ended well has a line for each of its transitions, or more.
            let data = history.get(n).context("the history is too short")?.get::<Option<String>, _>(0);
            let command = commands.get(n).copied().map(letter).transpose()?;
            Ok(Transition { data: data.unwrap_or_default(), command, event: Some(letter(events[n])?) })
        };
        let transitions = [transition(0)?, transition(1)?, transition(2)?, transition(3)?];
        let reply = letter(topics::REPLIES)?;
        let (input, state) = (saga.get(1), saga.get(2));
        Ok(Self { brokers, admin_url: admin_url.to_owned(), input, state, transitions, reply })
    }
}

/// The first message of a topic.
fn letter(consumer: &BaseConsumer, prefix: &str, topic: &'static str) -> anyhow::Result<Letter> {
    let full = format!("{prefix}{topic}");
    let metadata = consumer.fetch_metadata(Some(&full), PATIENCE)?;
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
        all.add_partition_offset(&full, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        // A message of the topic before may still have been on its way.
        if message.topic() == full {
            let message = message.detach();
            let headers = message.headers().cloned().unwrap_or_default();
            return Ok(Letter { topic, headers, payload: message.payload().unwrap_or_default().to_vec() });
        }
    }
    bail!("nothing can be read from {full}")
}
