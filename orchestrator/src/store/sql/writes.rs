//! Whether the database takes writes.
//!
//! One whose disk is full goes on answering questions, so asking tells nothing. What tells is the last write that an
//! engine asked of it: there is always a next one, if only to show that the instance is alive.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Result, StoreError};

/// How the last write ended.
#[derive(Debug, Clone, Default)]
pub struct LastWrite(Arc<Mutex<Option<String>>>);

impl LastWrite {
    /// Takes note of how this write ends.
    ///
    /// # Errors
    /// Those of the write.
    pub async fn note<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = write.await;
        match &ended {
            Ok(_) => *self.lock() = None,
            Err(StoreError::Unavailable(why) | StoreError::OutcomeUnknown(why)) => *self.lock() = Some(why.clone()),
            // The content is to blame: this says nothing about the next one.
            Err(StoreError::Refused(_)) => {}
        }
        ended
    }

    /// Whether it was taken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason if it was not.
    pub fn was_taken(&self) -> Result<()> {
        match &*self.lock() {
            None => Ok(()),
            Some(why) => Err(StoreError::Unavailable(format!("the last write failed: {why}"))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        // No holder of the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
