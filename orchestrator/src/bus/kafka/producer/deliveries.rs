//! Delivery reports: acknowledgements go out at once, refused messages go back to the courier.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use service::kafka::{client_error, client_log};

use super::courier::Note;
use super::message::{Handed, Message};
use crate::bus::unacked::Unacked;
use crate::bus::{Ack, AckSink};

/// The context of a producing client.
pub(super) struct Deliveries {
    pub(super) sink: AckSink,
    pub(super) unacked: Arc<Unacked>,
    pub(super) notes: Sender<Note>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        client_log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Handed>;

    fn delivery(&self, result: &DeliveryResult<'_>, handed: Box<Handed>) {
        let gauge = &handed.gauge;
        match result {
            Ok(message) => {
                (self.sink)(Ack { ticket: handed.ticket, partition: message.partition(), offset: message.offset() });
                self.unacked.done();
                if gauge.probing.load(Ordering::Acquire) {
                    self.note(Note::ProbeArrived(gauge.topic.clone()));
                }
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let message = Message::returned(message, &handed);
                self.note(Note::Refused { topic: gauge.topic.clone(), seq: handed.seq, message, code });
            }
        }
        gauge.under_way.fetch_sub(1, Ordering::Release);
    }
}

impl Deliveries {
    /// Nobody listens any more once the bus is gone, and then nobody waits for the message either.
    fn note(&self, note: Note) {
        let _gone = self.notes.send(note);
    }
}
