//! Operators' requests: put into SQL by whoever is asked, answered by whoever owns the saga.
//!
//! The road is the same when both are one instance. A request is answered in the commit that applies it; one
//! that nobody answers in time is withdrawn, by compare-and-set, so that a refusal is certain. Whoever put one and then
//! lost the database, or its life, leaves it behind: the owner withdraws what is older than anybody waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use saga_model::micros::Millis;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clock::Clock;
use super::inbox::Inbox;
use super::watchers::Watchers;
use crate::store::rows::{AdminAnswer, AdminRequest};
use crate::store::{Result, Store};

/// How often the owner looks for requests that other instances have put.
const INTERVAL: Duration = Duration::from_millis(100);
/// A request that is pending for so long is handed over again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a request may stay unanswered.
const PATIENCE: Duration = Duration::from_secs(10);
/// A pending request of that age has nobody who waits for it any more: instances' clocks may differ by the rest.
const ABANDONED: Millis = Millis(15_000);

/// The mailbox of this instance.
pub struct Mailbox {
    store: Arc<dyn Store>,
    watchers: Arc<Watchers>,
    clock: Arc<Clock>,
    /// A request was put here: look at once.
    posted: Notify,
}

impl Mailbox {
    pub fn new(store: Arc<dyn Store>, watchers: Arc<Watchers>, clock: Arc<Clock>) -> Self {
        Self { store, watchers, clock, posted: Notify::new() }
    }

    /// Hands the pending requests of our shards to the loop, until shutdown.
    pub async fn run(self: Arc<Self>, inbox: Arc<Inbox>, shutdown: CancellationToken) {
        // Handed over and not seen answered yet, and when.
        let mut handed: HashMap<Uuid, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = self.posted.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
            let owned = self.watchers.owned();
            if owned.is_empty() {
                continue;
            }
            match self.store.pending_requests(&owned).await {
                Ok(pending) => {
                    // What the loop dropped with a shard is pending still, and handed over again; a request that
                    // it has twice is answered once, since its answer is stored only while it is pending.
                    handed.retain(|id, at| at.elapsed() < AGAIN && pending.iter().any(|request| request.id == *id));
                    for request in pending {
                        if request.at.plus(ABANDONED.micros()) < self.clock.now() {
                            self.withdraw_abandoned(&request).await;
                        } else if let Entry::Vacant(entry) = handed.entry(request.id) {
                            entry.insert(Instant::now());
                            inbox.request(request);
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "Pending requests could not be read"),
            }
        }
    }

    /// What cannot be withdrawn now is found again at the next look.
    async fn withdraw_abandoned(&self, request: &AdminRequest) {
        match self.store.withdraw_request(request.id).await {
            Ok(true) => tracing::warn!(
                request.id = %request.id, action = request.action,
                "A request was left behind by the instance that put it, and is withdrawn"
            ),
            Ok(false) => {} // another owner, or an answer, was quicker
            Err(error) => tracing::debug!(%error, "An abandoned request could not be withdrawn"),
        }
    }

    /// Puts a pending request and waits for its owner's answer; none if it was withdrawn.
    ///
    /// # Errors
    /// If the store is away: the request may then stand, to be answered while it is young and withdrawn after that.
    pub async fn ask(&self, request: &AdminRequest) -> Result<Option<AdminAnswer>> {
        self.store.put_request(request).await?;
        self.posted.notify_one();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.store.answers(&[request.id]).await?.pop() {
                return Ok(Some(answer));
            }
            if Instant::now() >= deadline {
                if self.store.withdraw_request(request.id).await? {
                    return Ok(None);
                }
                return Ok(self.store.answers(&[request.id]).await?.pop());
            }
            self.watchers.request_answered().await;
        }
    }
}
