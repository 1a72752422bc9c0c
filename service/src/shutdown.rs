//! How a process is asked to end: SIGTERM or SIGINT, once to drain, twice to go at once.
//!
//! One request often comes as two signals: whoever signals a whole process group, or wraps a command and passes its
//! signals on, reaches the process on both ways within milliseconds. So the same signal soon again asks for nothing more.
//!
//! SIGTERM comes from whoever runs the process for others to use: behind it stands something that must see that the
//! process is not ready any more before its door closes, so it goes on listening for a grace. SIGINT comes from a
//! person at a terminal, who waits: the door closes at once.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Stop};

/// The end of a process, in its two steps. Whoever has to do with one of them watches its token.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    closing: CancellationToken,
    /// See [`leaves`](Self::leaves).
    temporary: Arc<Mutex<Vec<PathBuf>>>,
}

/// For how long the same signal is the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Terminate,
    Interrupt,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process is asked to end: it is not ready, begins nothing new, and whoever waits is answered.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when the grace is over: nothing more is listened to. Never before [`draining`](Self::draining).
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Asks the process to end; it goes on listening until [`at_once`](Self::at_once).
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends the process without a grace, or ends its grace.
    pub fn at_once(&self) {
        self.draining.cancel();
        self.closing.cancel();
    }

    /// Names a folder that must not stay behind. An orderly end removes it by itself; this is for the end on the spot,
    /// which drops nothing.
    pub fn leaves(&self, temporary: PathBuf) {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner).push(temporary);
    }

    /// Removes the folders that were named. Others still work in them: what comes back while they are removed is
    /// removed once more.
    fn remove_temporary(&self) {
        const TRIES: usize = 3;
        for folder in self.temporary.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            for _ in 0..TRIES {
                if std::fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
            }
            if folder.exists() {
                tracing::warn!(folder = %folder.display(), "A temporary folder could not be removed");
            }
        }
    }

    /// What the signals that `next` gives ask for: drains at the first, closes after its grace, and returns the one that
    /// asks for an end on the spot.
    async fn heed(&self, grace: Duration, mut next: impl FnMut(&mut Context<'_>) -> Poll<Asked>) -> Asked {
        let first = poll_fn(&mut next).await;
        let at = Instant::now();
        tracing::info!(
            signal = first.name(),
            "Ending: requests in flight are answered first; another signal, or the same after a second, ends at once"
        );
        self.drain();
        let closes = tokio::time::sleep(first.grace(grace));
        tokio::pin!(closes);
        loop {
            tokio::select! {
                () = &mut closes, if !self.closing.is_cancelled() => self.at_once(),
                again = poll_fn(&mut next) => {
                    if again != first || at.elapsed() >= SAME_REQUEST {
                        return again;
                    }
                }
            }
        }
    }
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// How long the process goes on listening, where `grace` is for those who have to see it end.
    fn grace(self, grace: Duration) -> Duration {
        match self {
            Self::Terminate => grace,
            Self::Interrupt => Duration::ZERO,
        }
    }
}

/// What the first SIGTERM or SIGINT begins; the grace after SIGTERM lasts for `grace`. Another one, or the same after a
/// second, ends the process on the spot, with 1.
///
/// # Errors
/// If the process may not listen to signals.
pub fn on_signal(grace: Duration) -> Result<Shutdown, Stop> {
    let cannot = |error| Stop::Failed(format!("cannot listen to signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        let next = |context: &mut Context<'_>| match terminate.poll_recv(context) {
            Poll::Ready(_) => Poll::Ready(Asked::Terminate),
            Poll::Pending => interrupt.poll_recv(context).map(|_| Asked::Interrupt),
        };
        let last = asked.heed(grace, next).await;
        tracing::warn!(signal = last.name(), "Ending at once");
        asked.remove_temporary();
        std::process::exit(Exit::Failed.code().into());
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests;
