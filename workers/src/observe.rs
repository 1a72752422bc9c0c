//! What a worker counts and traces of its commands.

use opentelemetry::trace::SpanKind;
use saga_model::micros::Micros;
use saga_model::wire::command::Command;
use service::metrics::prometheus_client::encoding::EncodeLabelSet;
use service::metrics::prometheus_client::metrics::counter::Counter;
use service::metrics::prometheus_client::metrics::family::Family;
use service::metrics::{Metrics, Seconds};
use service::telemetry::{Place, SpanStart, Tracer};
use service::traceparent::{SpanId, TraceParent};
use uuid::Uuid;

use crate::ledger::Answer;

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Handled {
    worker: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Worker {
    worker: &'static str,
}

/// Watches one worker.
#[derive(Clone)]
pub struct Observer {
    worker: &'static str,
    tracer: Tracer,
    handled: Family<Handled, Counter>,
    batches: Seconds<Worker>,
}

/// Where the span of a command will stand: known before it is made, so that it can be recorded with the effect.
#[derive(Debug, Clone, Copy)]
pub struct PlannedSpan {
    parent: TraceParent,
    id: SpanId,
    from: Micros,
}

impl PlannedSpan {
    /// Its own place in the trace.
    pub fn place(&self) -> TraceParent {
        let own = TraceParent::new(self.parent.trace_id(), self.id, self.parent.is_sampled());
        own.unwrap_or(self.parent)
    }
}

impl Observer {
    pub fn new(worker: &'static str, metrics: &Metrics, tracer: Tracer) -> Self {
        Self {
            worker,
            tracer,
            handled: metrics.counters("worker_commands_total", "Commands answered, by worker, kind and outcome"),
            batches: metrics.seconds("worker_batch_duration_seconds", "How long batches of commands took, by worker"),
        }
    }

    /// Plans the span of a command that was sent under `parent`; none if nobody traces.
    pub fn plan(&self, parent: Option<TraceParent>) -> Option<PlannedSpan> {
        let parent = parent.filter(|_| self.tracer.is_on())?;
        let id = SpanId::from(Uuid::new_v4().as_u64_pair().0);
        Some(PlannedSpan { parent, id, from: service::time::now() })
    }

    /// Counts an answered command, and ends its span; a compensation's links to the span of what it undoes.
    pub fn answered(
        &self,
        command: &Command,
        answer: &Answer,
        definition: Option<&str>,
        span: Option<&PlannedSpan>,
        undoes: Option<TraceParent>,
    ) {
        let (kind, outcome) = (command.kind.as_str(), answer.outcome.as_str());
        self.handled.get_or_create(&Handled { worker: self.worker, kind, outcome }).inc();
        let Some(PlannedSpan { parent, id, from }) = span.copied() else { return };
        let mut start = SpanStart::new(format!("{} {kind}", command.step), SpanKind::Consumer)
            .id(id)
            .at(from)
            .with("saga.id", command.saga_id.to_string())
            .with("saga.step", command.step.clone())
            .with("saga.kind", kind)
            .with("saga.round", i64::from(command.round))
            .with("saga.attempt", i64::from(command.attempt))
            .with("saga.outcome", outcome);
        if let Some(definition) = definition {
            start = start.with("saga.definition", definition.to_owned());
        }
        if let Some(undoes) = undoes {
            start = start.link(undoes);
        }
        let mut span = self.tracer.start(Place::Under(parent), start);
        if let Some(error) = &answer.error {
            span.failed(format!("{}: {}", error.code, error.message));
        }
    }

    /// Counts a batch.
    pub fn batch(&self, took: std::time::Duration) {
        self.batches.get_or_create(&Worker { worker: self.worker }).observe(took.as_secs_f64());
    }
}
