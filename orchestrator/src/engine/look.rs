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
    let looking = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            for topic in watchers.waiting_topics() {
                look(bus.as_ref(), &inbox, topic).await;
            }
        }
    };
    // Nothing of a look has to be finished, and a broker that says nothing is not waited for.
    tokio::select! {
        () = looking => {}
        () = shutdown.cancelled() => {}
    }
}

/// One look, for one topic; it ends once what was seen is noted.
pub(super) async fn look(bus: &dyn Bus, inbox: &Inbox, topic: String) {
    match bus.progress(&topic).await {
        Ok(progress) => {
            let (done, noted) = oneshot::channel();
            inbox.control(Control::Progress { topic, progress, done });
            // It is not noted if the loop has ended, and then the shutdown is under way.
            let _ = noted.await;
        }
        Err(error) => tracing::debug!(%topic, %error, "The progress of the workers cannot be seen"),
    }
}
