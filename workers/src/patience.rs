//! Waiting for parts that are away: for as long as it takes, in place, in plain sight.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::trouble::{Part, Trouble};

/// The worker is asked to stop: what is in hand is left undone, and comes again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker is stopping")]
pub struct Stopping;

/// What patience does not help against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hopeless {
    Stopping,
    /// See [`Trouble::Poison`].
    Poison(String),
}

impl From<Stopping> for Hopeless {
    fn from(_: Stopping) -> Self {
        Self::Stopping
    }
}

/// Which parts are away, as the work that needs them sees it.
#[derive(Debug, Clone, Default)]
pub struct Absences(Arc<Mutex<BTreeMap<Part, String>>>);

impl Absences {
    /// Why that part is believed away; `None` if it answers.
    pub fn why(&self, part: Part) -> Option<String> {
        self.lock().get(&part).cloned()
    }

    /// Says that a part is away.
    pub fn note(&self, part: Part, detail: &str) {
        let before = self.lock().insert(part, detail.to_owned());
        if before.is_none() {
            tracing::warn!(part = %part, detail, "A part that is needed does not answer; it is tried again until it does");
        }
    }

    /// Says that a part answers.
    pub fn clear(&self, part: Part) {
        if self.lock().remove(&part).is_some() {
            tracing::info!(part = %part, "A part that was away answers again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Part, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often, and until when, something is tried again.
#[derive(Debug, Clone)]
pub struct Patience {
    absences: Absences,
    stop: CancellationToken,
}

impl Patience {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    pub fn new(absences: Absences, stop: CancellationToken) -> Self {
        Self { absences, stop }
    }

    /// Tries until no part is away any more.
    ///
    /// # Errors
    /// [`Hopeless`].
    pub async fn insist<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Hopeless>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let (mut pause, mut missed) = (Self::FIRST, Vec::new());
        loop {
            match attempt().await {
                Ok(done) => {
                    missed.into_iter().for_each(|part| self.absences.clear(part));
                    return Ok(done);
                }
                Err(Trouble::Away { part, detail }) => {
                    self.absences.note(part, &detail);
                    missed.push(part);
                    self.pause(pause).await?;
                    pause = (pause * 2).min(Self::LONGEST);
                }
                Err(Trouble::Poison(detail)) => return Err(Hopeless::Poison(detail)),
            }
        }
    }

    /// Waits that long.
    ///
    /// # Errors
    /// If the worker is asked to stop before.
    pub async fn pause(&self, span: Duration) -> Result<(), Stopping> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopping),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }
}
