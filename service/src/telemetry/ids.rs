//! Ids of spans that are known before the span is made.
//!
//! OpenTelemetry's builder takes no ids, but its generator is ours: it hands out what the same thread has planned
//! for the next span, and a random id otherwise.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static PLANNED: Cell<(Option<TraceId>, Option<SpanId>)> = const { Cell::new((None, None)) };
}

/// Makes a span with `make`, which asks the generator at most once for each id, and gets these.
pub(super) fn with_ids<T>(trace: Option<TraceId>, span: Option<SpanId>, make: impl FnOnce() -> T) -> T {
    PLANNED.set((trace, span));
    let made = make();
    // A trace id is not asked for under a parent: no later span may get it.
    PLANNED.set((None, None));
    made
}

#[derive(Debug, Default)]
pub(super) struct PlannedIds(RandomIdGenerator);

impl IdGenerator for PlannedIds {
    fn new_trace_id(&self) -> TraceId {
        PLANNED.get().0.unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        PLANNED.get().1.unwrap_or_else(|| self.0.new_span_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_is_for_one_span() {
        let (ids, trace, span) = (PlannedIds::default(), TraceId::from(1), SpanId::from(2));
        let made = with_ids(Some(trace), Some(span), || (ids.new_trace_id(), ids.new_span_id()));
        assert_eq!(made, (trace, span));
        assert_ne!(ids.new_trace_id(), trace);
        assert_ne!(ids.new_span_id(), span);
    }
}
