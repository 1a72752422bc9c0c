//! Who waits for a saga, and what the loop tells the tasks around it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saga_model::SagaId;
use saga_model::ids::ShardId;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::draft::Draft;
use crate::store::Store;
use crate::store::rows::SagaRecord;

/// How often the sagas that somebody waits for are read, whoever owns them.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shared by the loop and the tasks around it.
#[derive(Debug, Default)]
pub struct Watchers {
    state: Mutex<State>,
    changed: Notify,
    /// Requests have been answered.
    answered: Notify,
}

#[derive(Debug, Default)]
struct State {
    owned: Vec<ShardId>,
    topics: Vec<String>,
    waiting: HashMap<SagaId, Vec<oneshot::Sender<SagaRecord>>>,
    /// Sagas that somebody has begun to wait for: they may have come to rest just before.
    hot: Vec<SagaId>,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole values only: a panic elsewhere cannot leave them half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_owned(&self, owned: Vec<ShardId>) {
        self.lock().owned = owned;
    }

    pub fn set_waiting_topics(&self, topics: Vec<String>) {
        self.lock().topics = topics;
    }

    /// The shards that this instance owns.
    pub fn owned(&self) -> Vec<ShardId> {
        self.lock().owned.clone()
    }

    /// Command topics in which something waits to be taken.
    pub fn waiting_topics(&self) -> Vec<String> {
        self.lock().topics.clone()
    }

    /// A draft is stored: whoever waits for one of its sagas is told at once.
    pub fn stored(&self, draft: &Draft) {
        let mut state = self.lock();
        if !state.waiting.is_empty() {
            for record in draft.members.iter().map(|member| &member.record).filter(|record| record.saga.at_rest()) {
                state.deliver(record);
            }
        }
        drop(state);
        if !draft.answers.is_empty() {
            self.answered.notify_waiters();
        }
    }

    /// Waits until some request of this instance may have been answered, or for the interval.
    pub async fn request_answered(&self) {
        // Nothing is lost if the notice comes before the wait: the interval is short.
        drop(tokio::time::timeout(INTERVAL, self.answered.notified()).await);
    }

    /// The saga once it is at rest, or nothing after `at_most`.
    pub async fn at_rest(&self, saga: SagaId, at_most: Duration) -> Option<SagaRecord> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.lock();
            state.waiting.entry(saga).or_default().push(sender);
            state.hot.push(saga);
        }
        self.changed.notify_one();
        tokio::time::timeout(at_most, receiver).await.ok()?.ok()
    }

    /// Reads the sagas that are waited for until shutdown: new ones at once, all of them (others may own them) at
    /// each interval, in one query.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, shutdown: CancellationToken) {
        loop {
            let all = tokio::select! {
                () = self.changed.notified() => false,
                () = tokio::time::sleep(INTERVAL) => true,
                () = shutdown.cancelled() => return,
            };
            let ids: Vec<SagaId> = {
                let mut state = self.lock();
                state.waiting.retain(|_, senders| {
                    senders.retain(|sender| !sender.is_closed());
                    !senders.is_empty()
                });
                let hot = std::mem::take(&mut state.hot);
                if all { state.waiting.keys().copied().collect() } else { hot }
            };
            if ids.is_empty() {
                continue;
            }
            match store.sagas(&ids).await {
                Ok(records) => self.deliver(records),
                Err(error) => tracing::debug!(%error, "Sagas that are waited for could not be read"),
            }
        }
    }

    fn deliver(&self, records: Vec<SagaRecord>) {
        let mut state = self.lock();
        for record in records.iter().filter(|record| record.saga.at_rest()) {
            state.deliver(record);
        }
    }
}

impl State {
    fn deliver(&mut self, record: &SagaRecord) {
        for sender in self.waiting.remove(&record.saga.id).unwrap_or_default() {
            drop(sender.send(record.clone())); // one who went away does not need it
        }
    }
}
