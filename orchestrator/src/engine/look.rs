//! Looks at the broker, for as long as something waits: how far have the workers come?

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::inbox::Inbox;
use super::watchers::Watchers;
use crate::bus::Bus;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Looks until shutdown.
pub async fn run(bus: Arc<dyn Bus>, inbox: Arc<Inbox>, watchers: Arc<Watchers>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
        for topic in watchers.waiting_topics() {
            match bus.progress(&topic).await {
                Ok(progress) => {
                    let (done, noted) = oneshot::channel();
                    inbox.control(Control::Progress { topic, progress, done });
                    if noted.await.is_err() {
                        return; // the loop has ended
                    }
                }
                Err(error) => tracing::debug!(%topic, %error, "The progress of the workers cannot be seen"),
            }
        }
    }
}
