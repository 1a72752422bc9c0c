//! A message as the producer carries it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use service::kafka::to_headers;

use crate::bus::{Outgoing, Ticket};

/// A message of one topic. Its headers are in the library's own form, as it keeps them.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: OwnedHeaders,
    /// Set if the sender chose it; else the key decides.
    pub(super) partition: Option<i32>,
    pub(super) ticket: Ticket,
}

impl Message {
    /// From what was handed over.
    pub(super) fn new(outgoing: Outgoing) -> Self {
        let headers = to_headers(&outgoing.headers);
        let Outgoing { key, value, partition, ticket, .. } = outgoing;
        Self { key, value, headers, partition, ticket }
    }

    /// From what the library gives back, so that nobody else need keep a copy until then.
    pub(super) fn returned(message: &BorrowedMessage<'_>, handed: &Handed) -> Self {
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(|headers| headers.detach()).unwrap_or_default(),
            partition: handed.partition,
            ticket: handed.ticket,
        }
    }
}

/// What travels with a message through the library and comes back with its delivery report.
pub(super) struct Handed {
    pub(super) seq: u64,
    pub(super) ticket: Ticket,
    pub(super) partition: Option<i32>,
    pub(super) gauge: Arc<Gauge>,
}

/// What the thread that hands messages over and the one that takes reports both know of a topic.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) topic: Arc<str>,
    /// Messages in the library. A refused one is noted first and taken off this count then: at zero, all are noted.
    pub(super) under_way: AtomicUsize,
    /// Whether the next arrival is waited for.
    pub(super) probing: AtomicBool,
}

impl Gauge {
    pub(super) fn new(topic: Arc<str>) -> Arc<Self> {
        Arc::new(Self { topic, under_way: AtomicUsize::new(0), probing: AtomicBool::new(false) })
    }
}
