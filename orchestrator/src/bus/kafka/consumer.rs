//! Reading replies: the partitions of the shards that this instance owns, assigned by hand.

mod fetched;
mod given;
mod position;
mod reader;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use saga_model::ids::ShardId;
use tokio::sync::Notify;

use self::given::Given;
use self::reader::Reader;
use super::topics::Mender;
use crate::bus::{BusError, Incoming};

/// How long reading may take to come to the end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Consumer {
    /// What the reader has to do before it goes on.
    changes: Mutex<Vec<Change>>,
    changed: Arc<Notify>,
    given: Arc<Given>,
    /// The ends that the broker named, to see one that goes back.
    ends: Mutex<BTreeMap<ShardId, i64>>,
    /// Held by the one task that reads.
    reader: tokio::sync::Mutex<Reader>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Assign(ShardId, i64),
    Unassign(ShardId),
    /// The topic may be another one now.
    Doubt(ShardId),
}

impl Change {
    fn shard(self) -> ShardId {
        match self {
            Self::Assign(shard, _) | Self::Unassign(shard) | Self::Doubt(shard) => shard,
        }
    }
}

impl Consumer {
    /// A reader of `topic` that reads nothing yet. Within a runtime only.
    ///
    /// # Errors
    /// If the settings are no valid ones. (A broker that is away is no error here.)
    pub(super) fn new(topic: Arc<str>, config: ClientConfig, mender: Arc<Mender>) -> Result<Self, BusError> {
        let (changed, given) = (Arc::new(Notify::new()), Arc::new(Given::default()));
        let reader = Reader::new(topic, config, changed.clone(), given.clone(), mender);
        let reader = reader.map_err(|error| BusError(error.to_string()))?;
        Ok(Self {
            changes: Mutex::default(),
            changed,
            given,
            ends: Mutex::default(),
            reader: tokio::sync::Mutex::new(reader),
        })
    }

    pub(super) fn assign(&self, shard: ShardId, offset: i64) {
        self.change(Change::Assign(shard, offset));
    }

    pub(super) fn unassign(&self, shard: ShardId) {
        self.change(Change::Unassign(shard));
    }

    /// The broker says that the partition ends at `end`. Waits until what is before has been given out, and returns
    /// behind which offset that was.
    ///
    /// # Errors
    /// If it takes too long.
    pub(super) async fn read_to(&self, shard: ShardId, end: i64) -> Result<i64, BusError> {
        let before = lock(&self.ends).insert(shard, end);
        if before.is_some_and(|before| end < before) {
            self.change(Change::Doubt(shard));
        }
        let given = self.given.all_before(shard, end, PATIENCE).await;
        given.ok_or_else(|| BusError(format!("the replies of shard {shard} were not read to their end in time")))
    }

    /// The next replies, at least one. Dropping the future loses nothing.
    pub(super) async fn next(&self) -> Vec<(ShardId, Incoming)> {
        let mut reader = self.reader.lock().await;
        loop {
            for change in self.take_changes() {
                reader.change(change);
            }
            let mut batch = reader.drain();
            // What was assigned otherwise meanwhile is not given out any more.
            let changes = self.take_changes();
            batch.retain(|(shard, _)| !changes.iter().any(|change| change.shard() == *shard));
            for change in changes {
                reader.change(change);
            }
            if !batch.is_empty() {
                return batch;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = reader.readable() => {}
            }
        }
    }

    fn change(&self, change: Change) {
        lock(&self.changes).push(change);
        self.changed.notify_one();
    }

    fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }
}

/// What these locks guard is whole after each statement, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
