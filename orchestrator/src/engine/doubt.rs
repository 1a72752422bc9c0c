//! A commit whose outcome is unknown.
//!
//! There is one way out: every shard is taken again (its epoch grows, which waits for the doubtful transaction
//! to end), loaded anew, and only then is anybody answered. Replies are read again from the stored offset,
//! requests are found pending or answered; only submissions have to be looked up.

use saga_model::ids::ShardId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::input::{Input, Submission, Submitted};
use crate::store::{Store, StoreError};

/// Submissions whose commit is in doubt.
#[derive(Debug)]
pub struct Doubt {
    submissions: Vec<Submission>,
    /// Tells the keeper of leases which shards to take again; empty when there is no doubt.
    retake: watch::Sender<Vec<ShardId>>,
}

impl Doubt {
    /// No doubt, and the ear of the keeper of leases.
    pub fn new() -> (Self, watch::Receiver<Vec<ShardId>>) {
        let (retake, receiver) = watch::channel(Vec::new());
        (Self { submissions: Vec::new(), retake }, receiver)
    }

    pub fn is_none(&self) -> bool {
        self.retake.borrow().is_empty()
    }

    pub fn is_some(&self) -> bool {
        !self.is_none()
    }

    /// Keeps the submissions among `inputs` and asks for the shards to be taken again.
    pub fn begin(&mut self, inputs: impl Iterator<Item = Input>, owned: &[ShardId]) {
        self.submissions.extend(inputs.filter_map(|input| match input {
            Input::Submission(submission) => Some(*submission),
            Input::Reply(_) | Input::Request(_) | Input::Internal { .. } => None,
        }));
        self.retake.send_replace(owned.to_vec());
    }

    /// The shards have been taken again, by this instance or another: what is stored is stored. Returns the
    /// submissions that are not, to be tried again.
    pub async fn resolve(&mut self, store: &dyn Store, shutdown: &CancellationToken) -> Vec<Submission> {
        let ids: Vec<_> = self.submissions.iter().filter_map(|s| s.minted.map(|(id, _)| id)).collect();
        let stored = loop {
            match store.sagas(&ids).await {
                Ok(stored) => break Some(stored),
                // Their callers are told that it is not known.
                Err(_) if shutdown.is_cancelled() => return Vec::new(),
                // A row cannot be read, and trying again cannot help. Nobody else is to wait for it.
                Err(StoreError::Refused(why)) => {
                    tracing::error!(error = %why, "What was stored cannot be looked up; its callers are told so");
                    break None;
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
                    tracing::warn!(%error, "Looking up what was stored; trying again");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        };
        self.retake.send_replace(Vec::new());
        let mut again = Vec::new();
        for mut submission in std::mem::take(&mut self.submissions) {
            let stored = match (submission.minted, &stored) {
                // No commit has tried to store it.
                (None, _) => None,
                (Some((id, _)), Some(stored)) => stored.iter().find(|record| record.saga.id == id),
                // It is dropped while it is claimed: its caller is told that it is not known.
                (Some(_), None) => continue,
            };
            match stored {
                Some(record) => submission.answer.give(Submitted::Stored(Box::new(record.clone()))),
                None => {
                    submission.answer.unclaim();
                    submission.minted = None;
                    again.push(submission);
                }
            }
        }
        again
    }
}
