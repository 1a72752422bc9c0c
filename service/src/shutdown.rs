//! How a process is asked to end: SIGTERM or SIGINT, once to drain, twice to go at once.
//!
//! SIGTERM comes from whoever runs the process for others to use: behind it stands something that must see that the
//! process is not ready any more before its door closes, so it goes on listening for a grace. SIGINT comes from a
//! person at a terminal, who waits: the door closes at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Stop};

/// The end of a process, in its two steps. Whoever has to do with one of them watches its token.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    closing: CancellationToken,
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
}

/// What the first SIGTERM or SIGINT begins; the grace after SIGTERM lasts for `grace`. The second signal ends the
/// process on the spot, with 1.
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
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", grace),
                _ = interrupt.recv() => ("SIGINT", Duration::ZERO),
            }
        };
        let (name, grace) = next().await;
        tracing::info!(signal = name, "Ending: requests in flight are answered first; a second signal ends at once");
        asked.drain();
        let closes = tokio::time::sleep(grace);
        let second = next();
        tokio::pin!(closes, second);
        let (name, _) = tokio::select! {
            () = &mut closes => {
                asked.at_once();
                second.await
            }
            signal = &mut second => signal,
        };
        tracing::warn!(signal = name, "Ending at once");
        std::process::exit(Exit::Failed.code().into());
    });
    Ok(shutdown)
}
