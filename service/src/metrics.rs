//! What a process counts, and `/metrics`.
//!
//! Metrics are registered under the names that they are read by: `saga_started_total` is registered as that, and
//! comes out as that. All of a process share one [`Metrics`]; registering a name again gives the same metric, so that
//! several services in one process can.

mod expose;
mod http;

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use http::HttpMetrics;
pub(crate) use http::RouteName;
pub use prometheus_client;

/// Bounds of a histogram of seconds, from a millisecond to a minute.
pub const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A histogram of seconds for each set of labels.
pub type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// The labels of `saga_dead_letters_total`.
#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
pub struct DeadLetterLabels {
    pub topic: String,
    pub code: String,
}

/// The metrics of a process.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    registry: Registry,
    /// By the name that they are read by.
    registered: HashMap<&'static str, Box<dyn Any + Send>>,
    /// Full names of counters: the text format for Prometheus and OpenMetrics differ in them.
    counters: Vec<&'static str>,
}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counters, one for each set of labels. The name ends in `_total`.
    pub fn counters<L>(&self, name: &'static str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
    {
        let mut inner = self.lock();
        // The library puts the suffix itself.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        if !inner.registered.contains_key(name) {
            inner.counters.push(name);
        }
        inner.register(name, stem, help, Family::default())
    }

    /// Numbers that go up and down, one for each set of labels.
    pub fn gauges<L>(&self, name: &'static str, help: &str) -> Family<L, Gauge>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
    {
        self.lock().register(name, name, help, Family::default())
    }

    /// Durations, one histogram for each set of labels. The name ends in `_seconds`.
    pub fn seconds<L>(&self, name: &'static str, help: &str) -> Seconds<L>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + Debug + Send + Sync + 'static,
    {
        let make: fn() -> Histogram = || Histogram::new(SECONDS);
        self.lock().register(name, name, help, Family::new_with_constructor(make))
    }

    /// `saga_dead_letters_total`, which every process counts.
    pub fn dead_letters(&self) -> Family<DeadLetterLabels, Counter> {
        self.counters("saga_dead_letters_total", "Messages that could not be read or be genuine, by topic and code")
    }

    /// Adds what is worked out anew for each reading.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.lock().registry.register_collector(collector);
    }

    /// The metrics of HTTP, for [`crate::http::edge`].
    pub fn http(&self) -> HttpMetrics {
        HttpMetrics::register(self)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No holder of the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn register<M: Metric + Clone>(&mut self, name: &'static str, stem: &str, help: &str, metric: M) -> M {
        if let Some(registered) = self.registered.get(name) {
            return registered.downcast_ref::<M>().cloned().unwrap_or_else(|| {
                tracing::error!(metric = name, "A metric is registered twice, with other labels: one is not shown");
                metric
            });
        }
        self.registry.register(stem, help, metric.clone());
        self.registered.insert(name, Box::new(metric.clone()));
        metric
    }
}

#[cfg(test)]
mod tests;
