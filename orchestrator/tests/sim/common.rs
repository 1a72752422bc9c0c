//! What all worlds of a thread share because it never changes: definitions, metrics that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use orchestrator::engine::{Definitions, Meters};
use orchestrator::store::memory::MemoryStore;
use saga_model::catalog::order;
use saga_model::definition::Policy;
use saga_model::ids::ShardCount;
use saga_model::micros::Millis;
use saga_model::{Definition, Micros};
use service::metrics::prometheus_client::metrics::counter::Counter;
use service::metrics::prometheus_client::metrics::family::Family;
use service::metrics::{DeadLetterLabels, Metrics};
use service::telemetry::Tracer;
use workers::observe::Observer;
use workers::runtime::Limits;

/// See the module.
pub struct Common {
    /// The order's definition with several policies.
    pub definitions: Vec<(Arc<Definitions>, Arc<Definition>)>,
    pub meters: Meters,
    pub observer: Observer,
    pub letters: Family<DeadLetterLabels, Counter>,
    pub limits: Limits,
}

/// Attempts of an action, of a compensation, and the deadline in milliseconds.
const POLICIES: [(u32, u32, u64); 4] = [(2, 3, 60_000), (3, 4, 8_000), (2, 4, 20_000), (1, 2, 60_000)];
/// After how long sagas are flagged as lingering, by policy: few of them, some, or all.
pub const LINGER_AFTER: [Millis; POLICIES.len()] = [Millis(30_000), Millis(2_000), Millis(0), Millis(200)];

impl Common {
    pub fn new() -> Self {
        let metrics = Metrics::new();
        Self {
            definitions: POLICIES.into_iter().map(definition).collect(),
            meters: Meters::register(&metrics),
            observer: Observer::new("worker", &metrics, Tracer::OFF),
            letters: metrics.dead_letters(),
            limits: Limits { effect: Duration::from_millis(1_500), lease: Duration::from_millis(2_500) },
        }
    }
}

fn definition((attempts, undos, deadline): (u32, u32, u64)) -> (Arc<Definitions>, Arc<Definition>) {
    let policy = Policy {
        step_timeout: Millis(1_000),
        step_attempts: attempts,
        compensation_attempts: undos,
        retry_base: Millis(100),
        retry_cap: Millis(1_000),
        saga_deadline: Millis(deadline),
    };
    let definition = Definition::new(order::blueprint(), policy).unwrap();
    let store = MemoryStore::new(ShardCount::new(1).unwrap(), Arc::new(|| Micros(0)));
    let pinned = Definitions::pin(&store, vec![definition]).now_or_never().unwrap().unwrap();
    let active = pinned.active(order::NAME).unwrap().1;
    (Arc::new(pinned), active)
}
