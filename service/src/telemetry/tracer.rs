//! Spans whose place and ids are arguments.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanKind, Status, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use saga_model::Micros;
use uuid::Uuid;

use super::ids::with_ids;
use crate::traceparent::{SpanId, TraceId, TraceParent};

/// Makes the spans of one service. With telemetry off it makes none, and passes traces on all the same.
#[derive(Clone, Debug)]
pub struct Tracer(Option<SdkTracer>);

/// Where a span stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The first of its trace.
    Root(TraceId),
    /// Under another span, of this process or another.
    Under(TraceParent),
}

/// A span to be made.
#[derive(Clone, Debug)]
pub struct SpanStart {
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    /// Its id, where that is known; else a random one.
    pub id: Option<SpanId>,
    /// When it began; now unless said.
    pub at: Option<Micros>,
    pub attributes: Vec<KeyValue>,
    /// Spans that it has to do with, without standing under them.
    pub links: Vec<TraceParent>,
}

/// A span that has begun. It ends when it is dropped, or as [`end_at`](Span::end_at) says.
#[derive(Debug)]
pub struct Span {
    span: Option<opentelemetry_sdk::trace::Span>,
    place: TraceParent,
}

impl SpanStart {
    pub fn new(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        Self { name: name.into(), kind, id: None, at: None, attributes: Vec::new(), links: Vec::new() }
    }

    #[must_use]
    pub fn id(mut self, id: SpanId) -> Self {
        self.id = Some(id);
        self
    }

    #[must_use]
    pub fn at(mut self, at: Micros) -> Self {
        self.at = Some(at);
        self
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    #[must_use]
    pub fn link(mut self, to: TraceParent) -> Self {
        self.links.push(to);
        self
    }
}

impl Tracer {
    /// A tracer that makes no spans.
    pub const OFF: Self = Self(None);

    pub(super) fn new(tracer: Option<SdkTracer>) -> Self {
        Self(tracer)
    }

    /// Whether spans go anywhere: if not, there is no need to prepare them.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span.
    pub fn start(&self, place: Place, start: SpanStart) -> Span {
        let id = start.id;
        let span = self.0.as_ref().map(|tracer| {
            let (trace, parent) = match place {
                Place::Root(trace) => (Some(trace), Context::new()),
                Place::Under(parent) => (None, parent.context()),
            };
            let mut builder =
                SpanBuilder::from_name(start.name).with_kind(start.kind).with_attributes(start.attributes);
            builder.start_time = start.at.map(system_time);
            builder.links = Some(start.links.iter().map(|to| Link::with_context(to.span_context())).collect());
            with_ids(trace, id, || tracer.build_with_context(builder, &parent))
        });
        let made = span.as_ref().map(|span| span.span_context());
        let made = made.and_then(|made| TraceParent::new(made.trace_id(), made.span_id(), made.is_sampled()));
        Span { place: made.unwrap_or_else(|| unmade(place, id)), span }
    }
}

/// Where what comes next stands if no span was made: where it would have stood. A trace that begins here counts
/// as recorded, for others may record their part of it.
fn unmade(place: Place, id: Option<SpanId>) -> TraceParent {
    match place {
        Place::Under(parent) => parent,
        Place::Root(trace) => {
            let random = || SpanId::from((Uuid::new_v4().as_u128() as u64).max(1));
            let trace = if trace == TraceId::INVALID { crate::traceparent::new_trace_id() } else { trace };
            let id = id.filter(|id| *id != SpanId::INVALID).unwrap_or_else(random);
            // Neither is zero: a random UUID has a version in it.
            TraceParent::new(trace, id, true)
                .unwrap_or_else(|| unmade(Place::Root(crate::traceparent::new_trace_id()), None))
        }
    }
}

impl Span {
    /// Its place: the parent of what happens because of it, here and elsewhere.
    pub fn place(&self) -> TraceParent {
        self.place
    }

    /// Notes something about it.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes that what it stands for went wrong.
    pub fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.span {
            span.set_status(Status::error(why));
        }
    }

    /// Ends it at another time than now.
    pub fn end_at(mut self, at: Micros) {
        if let Some(span) = &mut self.span {
            span.end_with_timestamp(system_time(at));
        }
    }
}

fn system_time(Micros(at): Micros) -> SystemTime {
    let since_epoch = Duration::from_micros(u64::try_from(at).unwrap_or_default());
    SystemTime::UNIX_EPOCH + since_epoch
}
