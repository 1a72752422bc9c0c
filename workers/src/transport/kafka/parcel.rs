//! Messages that were sent together, and how many of them are still on their way.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// See the module.
#[derive(Debug)]
pub(super) struct Parcel {
    left: AtomicUsize,
    arrived: Notify,
}

impl Parcel {
    pub(super) fn of(messages: usize) -> Self {
        Self { left: AtomicUsize::new(messages), arrived: Notify::new() }
    }

    /// One of them is durable, or will never be.
    pub(super) fn one_through(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.arrived.notify_waiters();
        }
    }

    /// Waits for all of them.
    pub(super) async fn through(&self) {
        let arrived = self.arrived.notified();
        tokio::pin!(arrived);
        // Listening begins before looking, so that the last one cannot slip through between the two.
        arrived.as_mut().enable();
        if self.left.load(Ordering::Acquire) > 0 {
            arrived.await;
        }
    }
}
