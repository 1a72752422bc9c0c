//! How many messages are handed over and not acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Unacked {
    count: AtomicUsize,
    none: Notify,
}

impl Unacked {
    pub(super) fn add(&self, messages: usize) {
        self.count.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn done(&self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.none.notify_waiters();
        }
    }

    pub(super) fn get(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there are none, or that long: who wants to know which of the two looks afterwards.
    pub(super) async fn flush(&self, at_most: Duration) {
        let _in_time = tokio::time::timeout(at_most, self.none()).await;
    }

    async fn none(&self) {
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if self.get() == 0 {
                return;
            }
            none.await;
        }
    }
}
