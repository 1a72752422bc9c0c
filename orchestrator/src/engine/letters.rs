//! What operators do about dead letters: send one again, or put it away.
//!
//! ```text
//!  claim (one of all who want to, at any instance) -> deliver, wait for the broker -> store what became of it, and who did it
//! ```
//!
//! Killed before the last step, the letter is still new and the claim runs out: whoever replays it again sends the
//! message twice, which those who read it are made for. It is never called replayed without having been sent.

use std::sync::Arc;

use saga_model::micros::Millis;
use uuid::Uuid;

use super::Engine;
use crate::bus::{Message, Undelivered};
use crate::store::rows::{AdminRequest, Claim, DeadLetter, Verdict};
use crate::store::{Result, StoreError};

/// How long a claim stands, at most: longer than the broker and the database may take together.
const CLAIM: Millis = Millis(30_000);

/// What can be done about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterAction {
    Replay,
    Discard,
}

/// What became of the request to do it.
#[derive(Debug)]
pub enum LetterOutcome {
    /// The letter as it is now.
    Done(Box<DeadLetter>),
    /// It is not new, or somebody else is at it.
    Taken,
    /// It is as it was.
    Undelivered(Undelivered),
}

impl Engine {
    /// Does something about a dead letter and stores `record` of it, whether or not the caller waits.
    ///
    /// # Errors
    /// If the database is away. A message may have been sent then.
    pub async fn settle_letter(
        &self,
        letter: DeadLetter,
        action: LetterAction,
        record: AdminRequest,
    ) -> Result<LetterOutcome> {
        let engine = self.clone();
        let settled = tokio::spawn(async move { engine.settle(letter, action, record).await }).await;
        settled.unwrap_or_else(|error| Err(StoreError::OutcomeUnknown(error.to_string())))
    }

    async fn settle(&self, letter: DeadLetter, action: LetterAction, record: AdminRequest) -> Result<LetterOutcome> {
        let now = self.now();
        let claim = Claim { letter: letter.id, until: now.plus(CLAIM.micros()) };
        if !self.store.claim_dead_letter(claim, now).await? {
            return Ok(LetterOutcome::Taken);
        }
        let verdict = match action {
            LetterAction::Discard => Verdict::Discarded(record),
            LetterAction::Replay => match self.bus.deliver(again(&letter)).await {
                Ok(()) => Verdict::Replayed(record),
                Err(undelivered) => {
                    // If it cannot be given back, the claim runs out by itself.
                    self.store.close_dead_letter(claim, &Verdict::GivenBack).await?;
                    return Ok(LetterOutcome::Undelivered(undelivered));
                }
            },
        };
        let closed = self.store.close_dead_letter(claim, &verdict).await?;
        Ok(match verdict.settles() {
            Some((status, _)) if closed => LetterOutcome::Done(Box::new(DeadLetter { status, ..letter })),
            Some(_) | None => LetterOutcome::Taken,
        })
    }

    /// The dead letter of that id.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        self.store.dead_letter(id).await
    }
}

/// The message as it came, without what was said of it as a dead letter.
fn again(letter: &DeadLetter) -> Message {
    let headers = letter.headers.iter().filter(|(name, _)| !name.starts_with("dl_")).collect();
    let (key, value) = (letter.key.clone(), letter.value.clone());
    Message { topic: Arc::from(letter.topic.as_str()), key, value, headers }
}
