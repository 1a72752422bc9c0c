//! Messages that cannot be read: kept in the list that operators see, `GET /admin/dead-letters` of the orchestrator,
//! and sent to `saga.dead-letters`.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saga_model::SagaId;
use saga_model::micros::Micros;
use saga_model::wire::{Unreadable, about};
use service::kafka::{self, Diagnosis, topics};

use crate::sql::{Db, Pool, immediate};
use crate::transport::{Delivery, Outgoing};
use crate::trouble::Trouble;

/// A message that changed nothing, and why.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub delivery: Delivery,
    pub why: Unreadable,
    pub at: Micros,
}

impl DeadLetter {
    pub fn new(delivery: Delivery, why: Unreadable) -> Self {
        Self { delivery, why, at: service::time::now() }
    }

    /// The message for the topic of dead letters.
    pub fn message(&self) -> Outgoing {
        let Delivery { topic, partition, offset, key, value, headers } = self.delivery.clone();
        let (code, detail) = (self.why.code.as_str(), self.why.detail.as_str());
        let diagnosis = Diagnosis { topic: &topic, partition, offset, code, detail, at: self.at };
        let letter = kafka::DeadLetter::new(&diagnosis, key, value, headers);
        Outgoing { topic: topics::DEAD_LETTERS, key: letter.key, value: letter.value, headers: letter.headers }
    }

    /// The saga that it may be meant for.
    fn saga(&self) -> Option<SagaId> {
        about(self.delivery.key.as_deref(), self.delivery.value.as_deref())
    }
}

/// The list of dead letters, once for each (topic, partition, offset).
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Adds those that it does not have.
    ///
    /// # Errors
    /// [`Trouble`]; then some may have been added.
    async fn keep(&self, letters: &[DeadLetter]) -> Result<(), Trouble>;
}

/// The list in the table `dead_letter`, where the orchestrator keeps its own dead letters too.
#[derive(Debug, Clone)]
pub struct SqlDeadLetters(pub Db);

#[async_trait]
impl DeadLetters for SqlDeadLetters {
    async fn keep(&self, letters: &[DeadLetter]) -> Result<(), Trouble> {
        const KEEP: &str = "INSERT INTO dead_letter \
            (id, topic, partition, \"offset\", key, value, headers, code, detail, saga_id, at, status) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'NEW') \
            ON CONFLICT (topic, partition, \"offset\") DO NOTHING";
        // Bad messages are rare, and each is bad in its own way: a statement for each.
        macro_rules! keep {
            ($executor:expr, $letter:expr) => {{
                let (delivery, why) = (&$letter.delivery, &$letter.why);
                sqlx::query(KEEP)
                    .bind(uuid::Uuid::now_v7())
                    .bind(&*delivery.topic)
                    .bind(delivery.partition)
                    .bind(delivery.offset)
                    .bind(delivery.key.as_deref())
                    .bind(delivery.value.as_deref())
                    .bind(headers_as_json(delivery)?)
                    .bind(why.code.as_str())
                    .bind(without_nul(&why.detail))
                    .bind($letter.saga().map(SagaId::uuid))
                    .bind($letter.at.0)
                    .execute($executor)
                    .await?
            }};
        }
        match &self.0.pool {
            Pool::Postgres(pool) => {
                for letter in letters {
                    keep!(pool, letter);
                }
            }
            Pool::Sqlite(pool) => {
                let mut transaction = immediate(pool).await?;
                for letter in letters {
                    keep!(&mut *transaction, letter);
                }
                transaction.commit().await?;
            }
        }
        Ok(())
    }
}

/// Postgres takes no NUL in a text.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// `[[name, value in base64], …]`, in order: header values are bytes.
fn headers_as_json(delivery: &Delivery) -> Result<String, Trouble> {
    let encoded = |(name, value)| (without_nul(name), STANDARD.encode(value));
    let headers: Vec<(String, String)> = delivery.headers.iter().map(encoded).collect();
    serde_json::to_string(&headers).map_err(|error| Trouble::Poison(error.to_string()))
}
