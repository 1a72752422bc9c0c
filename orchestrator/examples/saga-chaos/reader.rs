//! Readers: they look at what was acknowledged, at any orchestrator, while all goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::findings::Findings;
use crate::shop::{ANSWER, Shop};
use crate::support::{Client, Json};

/// One of them.
pub struct Reader {
    pub doors: Vec<Client>,
    pub shop: Arc<Shop>,
    pub findings: Arc<Findings>,
    /// How much all readers have read.
    pub reads: Arc<AtomicU64>,
}

/// The revision and status of sagas when they were last read.
type Known = BTreeMap<String, (u64, Json)>;

impl Reader {
    pub async fn read(self, mut rng: Rng, stop: CancellationToken) {
        let mut known = Known::new();
        while !stop.is_cancelled() {
            let door = &self.doors[rng.usize(..self.doors.len())];
            if let Some(id) = self.shop.recent(&mut rng)
                && let Ok(Ok(reply)) = timeout(ANSWER, door.try_send("GET", &format!("/sagas/{id}"), &[], None)).await
            {
                self.reads.fetch_add(1, Ordering::Relaxed);
                self.judge(&mut known, id, reply.status, &reply.body);
            }
            sleep(Duration::from_millis(rng.u64(20..100))).await;
        }
    }

    /// No saga that was acknowledged may be unknown, and none goes back.
    fn judge(&self, known: &mut Known, id: String, status: u16, saga: &Json) {
        match status {
            200 => {}
            503 => return,
            other => {
                let what = format!("saga {id} was acknowledged, and a reader got {other}: {saga}");
                return self.findings.violation(what);
            }
        }
        let (revision, now) = (saga["revision"].as_u64().unwrap_or(0), saga["status"].clone());
        if let Some((before, was)) = known.get(&id)
            && *before > revision
        {
            self.findings.violation(format!("saga {id} went back from {before} ({was}) to {revision} ({now})"));
        }
        known.insert(id, (revision, now));
    }
}
