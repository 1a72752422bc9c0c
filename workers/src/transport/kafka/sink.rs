//! Sending replies and dead letters, each until the broker has it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use service::kafka::{Batching, client_error, client_log, producer, to_headers};

use super::parcel::Parcel;
use super::{Cluster, WrongCluster};
use crate::transport::{Outgoing, Sent, Sink};

/// A message as the library takes it, to be sent again if it has to.
struct Message {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    parcel: Arc<Parcel>,
}

/// A message that came back.
struct Returned {
    message: Message,
    error: KafkaError,
}

type Client = ThreadedProducer<Deliveries>;

/// Replies and dead letters over Kafka.
pub struct KafkaSink {
    cluster: Cluster,
    client: Arc<Client>,
    returns: Sender<Returned>,
}

/// How long to wait before what came back is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// So much of a dead letter fits into a topic with the limit of Kafka's own default.
const MODEST_BYTES: usize = 900_000;

impl KafkaSink {
    /// # Errors
    /// If the settings make no producer. A broker that is away is waited for.
    pub fn new(cluster: Cluster) -> Result<Self, WrongCluster> {
        let config = producer(&cluster.brokers, &cluster.client_id, Batching::Prompt);
        let (returns, returned) = channel();
        let client: Arc<Client> = Arc::new(config.create_with_context(Deliveries { returns: returns.clone() })?);
        let again = Again { client: Arc::clone(&client), returns: returns.clone() };
        // It ends with the sink.
        let thread = std::thread::Builder::new().name("replies".to_owned()).spawn(move || again.run(&returned));
        thread.map_err(|error| KafkaError::ClientCreation(format!("no thread for replies: {error}")))?;
        Ok(Self { cluster, client, returns })
    }
}

impl Sink for KafkaSink {
    fn send(&self, messages: Vec<Outgoing>) -> Sent {
        let parcel = Arc::new(Parcel::of(messages.len()));
        for Outgoing { topic, key, value, headers } in messages {
            let headers = to_headers(&headers);
            let topic = self.cluster.prefix.full(topic);
            let message = Message { topic, key, value, headers, parcel: Arc::clone(&parcel) };
            hand_over(&self.client, &self.returns, message);
        }
        Box::pin(async move { parcel.through().await })
    }
}

fn hand_over(client: &Client, returns: &Sender<Returned>, message: Message) {
    let Message { topic, key, value, headers, parcel } = message;
    let mut record = BaseRecord::with_opaque_to(&topic, parcel).headers(headers);
    (record.key, record.payload) = (key.as_deref(), value.as_deref());
    if let Err((error, record)) = client.send(record) {
        let (headers, parcel) = (record.headers.unwrap_or_default(), record.delivery_opaque);
        come_back(returns, Message { topic, key, value, headers, parcel }, error);
    }
}

fn come_back(returns: &Sender<Returned>, message: Message, error: KafkaError) {
    // Nobody takes it back any more: the process ends, and what was not marked as done comes again.
    let _gone = returns.send(Returned { message, error });
}

/// What the library calls, on a thread of its own.
struct Deliveries {
    returns: Sender<Returned>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Parcel>;

    fn delivery(&self, result: &DeliveryResult<'_>, parcel: Arc<Parcel>) {
        match result {
            Ok(_) => parcel.one_through(),
            Err((error, message)) => {
                let message = Message {
                    topic: message.topic().to_owned(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message.headers().map(rdkafka::message::BorrowedHeaders::detach).unwrap_or_default(),
                    parcel,
                };
                come_back(&self.returns, message, error.clone());
            }
        }
    }
}

/// Sends what came back again, a little later.
struct Again {
    client: Arc<Client>,
    returns: Sender<Returned>,
}

impl Again {
    fn run(self, returned: &Receiver<Returned>) {
        let mut said = None::<Instant>;
        loop {
            let first = match returned.recv_timeout(Duration::from_secs(1)) {
                Ok(first) => first,
                // This thread holds a sender itself: it is alone once the sink has gone.
                Err(RecvTimeoutError::Timeout) if Arc::strong_count(&self.client) > 1 => continue,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            };
            let (mut all, until) = (vec![first], Instant::now() + AGAIN);
            while Instant::now() < until
                && let Ok(next) = returned.recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                all.push(next);
            }
            if said.is_none_or(|said| said.elapsed() > Duration::from_secs(10)) {
                said = Some(Instant::now());
                tracing::warn!(messages = all.len(), error = %all[0].error, "Kafka did not take messages; they are sent again");
            }
            for Returned { message, error } in all {
                if let Some(message) = fitting(message, &error) {
                    hand_over(&self.client, &self.returns, message);
                }
            }
        }
    }
}

/// The message as it can be sent again. One that is too large for its topic is cut if that can help, or else given up,
/// which is said: it must not stop its partition.
fn fitting(mut message: Message, error: &KafkaError) -> Option<Message> {
    use RDKafkaErrorCode::{InvalidMessage, InvalidMessageSize, InvalidRecord, MessageSizeTooLarge};
    match error.rdkafka_error_code() {
        Some(MessageSizeTooLarge | InvalidMessage | InvalidMessageSize | InvalidRecord) => {
            let (topic, bytes) = (&message.topic, message.value.as_ref().map_or(0, Vec::len));
            match &mut message.value {
                Some(value) if value.len() > MODEST_BYTES => {
                    tracing::warn!(topic, bytes, %error, "A message is too large for its topic and is cut");
                    value.truncate(MODEST_BYTES);
                    Some(message)
                }
                Some(_) | None => {
                    tracing::error!(topic, bytes, %error, "Kafka refuses a message for what it is; it is given up");
                    message.parcel.one_through();
                    None
                }
            }
        }
        Some(_) | None => Some(message),
    }
}
