//! Sending one message that somebody waits for: what an operator replays.
//!
//! The couriers never give a message up, which is right for what the store says has to leave, and wrong for a person
//! who is told that it failed and tries again. So this is a client of its own, with a time limit.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::kafka::{Batching, producer, to_headers};
use service::settings::KafkaBrokers;

use super::seldom::Voice;
use crate::bus::{DELIVERED_WITHIN, Message, Undelivered};

/// The client, made when the first message is to be sent: most orchestrators never send one.
pub struct Single {
    config: ClientConfig,
    client: Mutex<Option<FutureProducer<Voice>>>,
}

impl Single {
    pub fn new(brokers: &KafkaBrokers, client_id: &str) -> Self {
        let mut config = producer(brokers, client_id, Batching::Prompt);
        config.set("message.timeout.ms", DELIVERED_WITHIN.as_millis().to_string());
        Self { config, client: Mutex::default() }
    }

    /// Sends a message to the topic of that full name.
    ///
    /// # Errors
    /// If the broker has not confirmed it within [`DELIVERED_WITHIN`].
    pub async fn deliver(&self, topic: &str, message: Message) -> Result<(), Undelivered> {
        let client = self.client().map_err(|error| Undelivered::Away(error.to_string()))?;
        let Message { key, value, headers, .. } = message;
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(to_headers(&headers));
        (record.key, record.payload) = (key.as_deref(), value.as_deref());
        match client.send(record, Duration::ZERO).await {
            Ok(_) => Ok(()),
            Err((error, _)) if is_the_messages_fault(&error) => Err(Undelivered::Refused(error.to_string())),
            Err((error, _)) => Err(Undelivered::Away(error.to_string())),
        }
    }

    fn client(&self) -> Result<FutureProducer<Voice>, KafkaError> {
        // It is there or not, also after a panic.
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let made: FutureProducer<Voice> = self.config.create_with_context(Voice)?;
        *client = Some(made.clone());
        Ok(made)
    }
}

/// Whether trying again cannot help.
fn is_the_messages_fault(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
        )
    })
}
