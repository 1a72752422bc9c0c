//! How far replies have been given out, for those who want to know whether that is all there is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use saga_model::ids::ShardId;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Given {
    shards: Mutex<BTreeMap<ShardId, Shard>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shard {
    /// Behind the last message that was given out; 0 if there was none.
    pub(super) next: i64,
    /// Everything before this offset that is a message was given out.
    pub(super) all_before: i64,
}

impl Given {
    /// Says it of the shards that are read, which are all that are named.
    pub(super) fn set(&self, shards: BTreeMap<ShardId, Shard>) {
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner) = shards;
        self.changed.notify_waiters();
    }

    /// Waits until everything before `end` was given out: then behind which offset that was, at most `end`. At once
    /// if the shard is not read. `None` if it takes too long.
    pub(super) async fn all_before(&self, shard: ShardId, end: i64, at_most: Duration) -> Option<i64> {
        let all = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.get(shard) {
                    None => return end,
                    Some(given) if given.next >= end => return end,
                    Some(given) if given.all_before >= end => return given.next,
                    Some(_) => changed.await,
                }
            }
        };
        tokio::time::timeout(at_most, all).await.ok()
    }

    /// What was given out of this shard was of another topic.
    pub(super) fn anew(&self, shard: ShardId) {
        if let Some(given) = self.shards.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&shard) {
            *given = Shard::default();
        }
    }

    /// Behind which offset it stands; none if the shard is not read.
    pub(super) fn next(&self, shard: ShardId) -> Option<i64> {
        self.get(shard).map(|given| given.next)
    }

    fn get(&self, shard: ShardId) -> Option<Shard> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(3);

    async fn answer(given: &Given, end: i64) -> Option<i64> {
        given.all_before(SHARD, end, Duration::from_millis(20)).await
    }

    fn set(given: &Given, next: i64, all_before: i64) {
        given.set([(SHARD, Shard { next, all_before })].into());
    }

    #[tokio::test]
    async fn says_when_all_was_given_out() {
        let given = Given::default();
        assert_eq!(answer(&given, 7).await, Some(7), "nobody reads it");
        set(&given, 5, 0);
        assert_eq!(answer(&given, 5).await, Some(5));
        assert_eq!(answer(&given, 7).await, None);
        set(&given, 5, 7);
        assert_eq!(answer(&given, 7).await, Some(5), "the last two were no messages");
        assert_eq!(answer(&given, 8).await, None);
    }

    #[tokio::test]
    async fn waits_for_it() {
        let given = std::sync::Arc::new(Given::default());
        set(&given, 5, 0);
        let waiting = given.clone();
        let waiting = tokio::spawn(async move { waiting.all_before(SHARD, 6, Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        set(&given, 6, 0);
        assert_eq!(waiting.await.unwrap(), Some(6));
    }
}
