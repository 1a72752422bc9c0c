//! Watching one part that the workers stand on.

use std::time::Duration;

use service::health::Dependency;
use tokio_util::sync::CancellationToken;

use crate::patience::Absences;
use crate::trouble::{Part, Trouble};

/// See the module.
pub(super) struct Watch {
    pub(super) dependency: Dependency,
    pub(super) part: Part,
    /// What the work itself has noticed.
    pub(super) absences: Absences,
    pub(super) stop: CancellationToken,
}

impl Watch {
    /// Asks every so often whether the part answers. It runs in a task of its own, and no question is broken off.
    pub(super) async fn run<F>(self, every: Duration, ask: impl Fn() -> F + Send)
    where
        F: Future<Output = Result<(), Trouble>> + Send,
    {
        loop {
            match (ask().await, self.absences.why(self.part)) {
                (Ok(()), None) => self.dependency.up(),
                (Ok(()), Some(detail)) => self.dependency.down(detail),
                // Another part that the question needed is watched by somebody else.
                (Err(Trouble::Away { part, .. }), _) if part != self.part => {}
                (Err(trouble), _) => self.dependency.down(trouble.to_string()),
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}
