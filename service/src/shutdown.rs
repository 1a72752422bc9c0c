//! How a process is asked to end: SIGTERM or SIGINT, once to drain, twice to go at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Stop};

/// A token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process on the spot, with 1.
///
/// # Errors
/// If the process may not listen to signals.
pub fn on_signal() -> Result<CancellationToken, Stop> {
    let cannot = |error| Stop::Failed(format!("cannot listen to signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "Ending: requests in flight are answered first; a second signal ends at once");
        asked.cancel();
        let name = next().await;
        tracing::warn!(signal = name, "Ending at once");
        std::process::exit(Exit::Failed.code().into());
    });
    Ok(token)
}
