//! Replies from the bus to the inbox. Reading a message happens here, beside the loop.

use std::sync::Arc;

use saga_model::wire::{DeadLetterCode, Unreadable, reply};
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::input::ReplyInput;
use crate::bus::{Bus, Incoming};

/// Reads replies until shutdown.
pub async fn run(bus: Arc<dyn Bus>, inbox: Arc<Inbox>, shutdown: CancellationToken) {
    loop {
        let incoming = tokio::select! {
            incoming = bus.next_replies() => incoming,
            () = shutdown.cancelled() => return,
        };
        let replies = incoming
            .into_iter()
            .map(|(shard, incoming)| ReplyInput { shard, reading: read(&incoming), incoming })
            .collect();
        tokio::select! {
            () = inbox.replies(replies) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// What a message on a reply partition says.
pub(super) fn read(incoming: &Incoming) -> Result<reply::ReplyMessage, Unreadable> {
    let no_value = || Unreadable::new(DeadLetterCode::NotJson, "the message has no value");
    reply::parse(incoming.value.as_deref().ok_or_else(no_value)?)
}
