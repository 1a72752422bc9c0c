//! Keeping the processes of a system running, and waiting for them.

use std::time::Duration;

use anyhow::bail;
use tokio::process::Child;
use tokio::time::{Instant, interval, timeout};

use crate::system::System;

/// How long anything may take while nothing is wrong: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

impl System {
    /// Starts again what has ended by itself: 1 is an honest failure to start (a topic is missing, say), anything else
    /// is a finding. Runs until it is dropped.
    pub async fn supervise(&self) {
        let mut pace = interval(Duration::from_millis(500));
        loop {
            pace.tick().await;
            for (name, part) in &self.parts {
                let mut child = part.child.lock().await;
                let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) else { continue };
                self.findings.note(&format!("{name} ended by itself: {status}"));
                if status.code() != Some(1) {
                    self.findings.violation(format!("{name} crashed: {status}, see ours/{name}.log"));
                }
                *child = None;
                drop(child);
                if let Err(error) = self.run(name).await {
                    self.findings.violation(format!("{name} cannot be started: {error:#}"));
                }
            }
        }
    }

    /// Waits until every process is ready.
    pub async fn all_ready(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut pace = interval(Duration::from_millis(100));
        for name in self.parts.keys() {
            let client = self.client(name);
            loop {
                pace.tick().await;
                let asked = client.try_send("GET", "/readyz", &[], None);
                match timeout(Duration::from_secs(5), asked).await {
                    Ok(Ok(reply)) if reply.status == 200 && reply.body["status"] == "ready" => break,
                    other if Instant::now() > until => bail!("{name} is not ready: {other:?}"),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
