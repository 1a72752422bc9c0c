//! Whether the database takes writes.
//!
//! One whose disk is full goes on answering questions, so asking tells nothing. What tells are the writes of the
//! engine: there is always a next one, if only to keep the leases. After a failed commit one kept lease is no good
//! news, because it is small; a second one, without another failed commit, is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Result, StoreError};

/// How the last writes ended.
#[derive(Debug, Clone, Default)]
pub struct LastWrites(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Why the last commit failed.
    commit: Option<String>,
    /// Whether leases were kept since it did.
    kept_since: bool,
    /// Why leases could not be kept.
    lease: Option<String>,
}

impl LastWrites {
    /// Takes note of how a commit ends.
    ///
    /// # Errors
    /// Those of the commit.
    pub async fn commit<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = write.await;
        if let Some(failure) = failure(&ended) {
            let mut state = self.lock();
            (state.commit, state.kept_since) = (failure, false);
        }
        ended
    }

    /// Takes note of how the keeping or taking of a lease ends.
    ///
    /// # Errors
    /// Those of the write.
    pub async fn lease<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = write.await;
        if let Some(failure) = failure(&ended) {
            let mut state = self.lock();
            if failure.is_none() && std::mem::replace(&mut state.kept_since, true) {
                state.commit = None;
            }
            state.lease = failure;
        }
        ended
    }

    /// Whether they were taken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason if they were not.
    pub fn were_taken(&self) -> Result<()> {
        let state = self.lock();
        match state.commit.as_ref().or(state.lease.as_ref()) {
            None => Ok(()),
            Some(why) => Err(StoreError::Unavailable(format!("the last write failed: {why}"))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an end says of the database: why it failed, if it did. Nothing if the content was to blame.
fn failure<T>(ended: &Result<T>) -> Option<Option<String>> {
    match ended {
        Ok(_) => Some(None),
        Err(StoreError::Unavailable(why) | StoreError::OutcomeUnknown(why)) => Some(Some(why.clone())),
        Err(StoreError::Refused(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_that_finds_room_is_no_good_news_of_commits() {
        let writes = LastWrites::default();
        let full = || async { Err::<(), _>(StoreError::Unavailable("full".to_owned())) };
        let done = || async { Ok(()) };
        let taken = || writes.were_taken().is_ok();
        assert!(taken());
        for _ in 0..3 {
            writes.commit(full()).await.unwrap_err();
            writes.lease(done()).await.unwrap();
            assert!(!taken(), "commits are tried, and fail");
        }
        writes.lease(done()).await.unwrap();
        assert!(taken(), "nobody asks for one any more");
        writes.commit(full()).await.unwrap_err();
        writes.commit(done()).await.unwrap();
        assert!(taken());
        writes.lease(full()).await.unwrap_err();
        assert!(!taken());
        let blamed = async { Err::<(), _>(StoreError::Refused("a bad row".to_owned())) };
        writes.commit(blamed).await.unwrap_err();
        assert!(!taken(), "it says nothing of the database");
        writes.lease(done()).await.unwrap();
        assert!(taken());
    }
}
