//! Sending: a client of the library for each class, because how long a message waits for company is a property of
//! the client. A thread of its own hands the messages over, so that the caller never waits for the library.

mod courier;
mod deliveries;
mod lane;
mod link;
mod message;

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use rdkafka::ClientConfig;
use service::kafka::{Batching, producer};
use service::settings::KafkaBrokers;

use self::courier::{Courier, Note};
use self::link::{Link, Recipe};
use super::topics::Mender;
use crate::bus::unacked::Unacked;
use crate::bus::{AckSink, BusError, Class, Outgoing};

pub(super) struct Producer {
    commands: Sender<Note>,
    events: Sender<Note>,
    unacked: Arc<Unacked>,
}

impl Producer {
    /// # Errors
    /// If the settings are no valid ones, or the system has no thread left. (A broker that is away is no error here.)
    pub(super) fn start(
        (brokers, client_id): (&KafkaBrokers, &str),
        sink: &AckSink,
        mender: &Arc<Mender>,
        park_for: Duration,
    ) -> Result<Self, BusError> {
        let unacked = Arc::new(Unacked::default());
        let start = |class: Class| -> Result<Sender<Note>, BusError> {
            let (sender, notes) = mpsc::channel();
            let (sink, unacked) = (sink.clone(), unacked.clone());
            let recipe = Recipe { config: config(brokers, client_id, class), sink, unacked, notes: sender.clone() };
            let link = Link::new(recipe).map_err(|error| BusError(error.to_string()))?;
            let courier = Courier::new((sender.clone(), notes), link, park_for, mender.clone());
            let name = match class {
                Class::Command => "kafka-commands",
                Class::Event => "kafka-events",
            };
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || courier.run())
                .map_err(|error| BusError(error.to_string()))?;
            Ok(sender)
        };
        Ok(Self { commands: start(Class::Command)?, events: start(Class::Event)?, unacked })
    }

    pub(super) fn send(&self, messages: Vec<Outgoing>) {
        self.unacked.add(messages.len());
        let (commands, events): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.class == Class::Command);
        for (to, messages) in [(&self.commands, commands), (&self.events, events)] {
            if !messages.is_empty() && to.send(Note::Send(messages)).is_err() {
                // Only a panic ends the thread before us. What is not sent is found in the store at the next start.
                tracing::error!("The thread that sends to Kafka is gone");
            }
        }
    }

    pub(super) fn unacked(&self) -> usize {
        self.unacked.get()
    }

    pub(super) async fn flush(&self, at_most: Duration) {
        self.unacked.flush(at_most).await;
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        for courier in [&self.commands, &self.events] {
            // One that is gone has stopped.
            let _gone = courier.send(Note::Stop);
        }
    }
}

/// How a class is sent.
///
/// A produce request costs the broker as much as 50 messages, and there is one for each partition. Events, which
/// nobody waits for, wait for company. Commands leave at once: the engine hands them over in groups, and while a
/// request is on its way the library groups the next one by itself. (The shortest linger costs a millisecond on each
/// hop, and was measured to save the broker nothing.)
fn config(brokers: &KafkaBrokers, client_id: &str, class: Class) -> ClientConfig {
    let mut config = match class {
        Class::Command => producer(brokers, client_id, Batching::Prompt),
        Class::Event => producer(brokers, client_id, Batching::Grouped),
    };
    config
        // No limit of the library's own: how much may be under way is the engine's decision.
        .set("queue.buffering.max.messages", "0")
        .set("queue.buffering.max.kbytes", "2147483647")
        // Well below the limit of any topic, but for a message that is large itself.
        .set("batch.size", "262144")
        // That a topic is missing is told after this time, not after a minute: then we look after it.
        .set("topic.metadata.propagation.max.ms", "2000");
    match class {
        Class::Command => config.set("linger.ms", "0"),
        // Events of an order keep their order whatever is refused: then the client is given up as a whole.
        Class::Event => config.set("enable.gapless.guarantee", "true"),
    };
    config
}
