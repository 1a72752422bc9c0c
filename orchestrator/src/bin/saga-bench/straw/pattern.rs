//! What the straw pipeline sends and stores: copies of what the real system did for one order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use service::kafka::{assigned_consumer, topics};
use service::settings::KafkaBrokers;
use sqlx::{Connection, Row};
use uuid::Uuid;

/// How long the messages of an order may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

pub const COMMANDS: [&str; 3] = [topics::INVENTORY_COMMANDS, topics::PAYMENT_COMMANDS, topics::NOTIFICATION_COMMANDS];
const EVENTS: [&str; 4] =
    [topics::ORDER_CREATED, topics::INVENTORY_RESERVED, topics::PAYMENT_SUCCESS, topics::ORDER_CONFIRMED];

/// A message as the real system sent it.
pub struct Letter {
    /// Without the prefix.
    pub topic: &'static str,
    pub headers: OwnedHeaders,
    pub payload: Vec<u8>,
}

/// An order to be repeated: the start and the three replies.
pub struct Pattern {
    pub brokers: KafkaBrokers,
    /// Where databases can be made.
    pub admin_url: String,
    pub input: String,
    /// As it was in the end.
    pub state: String,
    /// The line of each transition in the history.
    pub history: Vec<String>,
    /// What goes out with a transition; none with the last.
    pub commands: Vec<Letter>,
    /// What goes out with each transition.
    pub events: Vec<Letter>,
    /// The answer to each command.
    pub replies: Vec<Letter>,
}

impl Pattern {
    /// Looks at the first order of the run that ended well at the first attempt.
    ///
    /// # Errors
    /// If there is none, or its messages cannot be read.
    pub async fn of(database_url: &str, admin_url: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut sql = sqlx::PgConnection::connect(database_url).await?;
        let query = "SELECT id, input, state FROM saga WHERE status = 'COMPLETED' AND revision = 4
            ORDER BY updated_at LIMIT 1";
        let saga = sqlx::query(query).fetch_optional(&mut sql).await?.context("no order has ended well")?;
        let id = saga.get::<Uuid, _>(0);
        let query = "SELECT data FROM history WHERE saga_id = $1 ORDER BY seq";
        let history = sqlx::query(query).bind(id).fetch_all(&mut sql).await?;
        ensure!(history.len() == EVENTS.len(), "an order that ended well has {} transitions", history.len());
        let brokers: KafkaBrokers = std::env::var("KAFKA_BROKERS").context("KAFKA_BROKERS is not set")?.parse()?;
        let consumer: BaseConsumer = assigned_consumer(&brokers, "saga-bench").create()?;
        let mut letters = letters(&consumer, prefix, &id.hyphenated().to_string())?;
        let mut first = |topic: &&'static str| letters.get_mut(topic).map(|sent| sent.remove(0)).context("looked for");
        Ok(Self {
            brokers,
            admin_url: admin_url.to_owned(),
            input: saga.get(1),
            state: saga.get(2),
            history: history.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect(),
            commands: COMMANDS.iter().map(&mut first).collect::<anyhow::Result<_>>()?,
            events: EVENTS.iter().map(&mut first).collect::<anyhow::Result<_>>()?,
            replies: COMMANDS.iter().map(|_| first(&topics::REPLIES)).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// All messages of an order: one of each topic, and a reply to each command, in order.
fn letters(consumer: &BaseConsumer, prefix: &str, key: &str) -> anyhow::Result<BTreeMap<&'static str, Vec<Letter>>> {
    let mut wanted: BTreeMap<&'static str, usize> =
        COMMANDS.into_iter().chain(EVENTS).map(|topic| (topic, 1)).collect();
    wanted.insert(topics::REPLIES, COMMANDS.len());
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    let mut all = TopicPartitionList::new();
    for topic in metadata.topics() {
        if topic.name().strip_prefix(prefix).is_some_and(|name| wanted.contains_key(name)) {
            for partition in topic.partitions() {
                all.add_partition_offset(MetadataTopic::name(topic), partition.id(), Offset::Beginning)?;
            }
        }
    }
    consumer.assign(&all)?;
    let mut found: BTreeMap<&'static str, Vec<Letter>> = BTreeMap::new();
    let until = Instant::now() + PATIENCE;
    while wanted.iter().any(|(topic, many)| found.get(topic).is_none_or(|letters| letters.len() < *many)) {
        ensure!(Instant::now() < until, "the messages of the order {key} cannot be read from Kafka");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        if message.key() != Some(key.as_bytes()) {
            continue;
        }
        let name = message.topic().strip_prefix(prefix);
        if let Some((topic, _)) = wanted.iter().find(|(topic, _)| Some(**topic) == name) {
            let message = message.detach();
            let headers = message.headers().cloned().unwrap_or_default();
            let payload = message.payload().unwrap_or_default().to_vec();
            found.entry(topic).or_default().push(Letter { topic, headers, payload });
        }
    }
    Ok(found)
}
