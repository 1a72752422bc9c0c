//! The W3C `traceparent`: which trace something belongs to, and under which of its spans.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use opentelemetry::trace::{SpanId, TraceId};

/// The name of the header, in HTTP and on Kafka.
pub const HEADER: &str = "traceparent";

/// A place in a trace. Neither id is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The place of a span in a trace; `None` if an id is zero, which means none.
    pub fn new(trace: TraceId, span: SpanId, sampled: bool) -> Option<Self> {
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        valid.then_some(Self { trace, span, sampled })
    }

    /// The place that the headers of a request name. One that is malformed, or there twice, counts as none: the
    /// standard has a new trace begin then.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok()?.parse().ok(),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    /// The place of the span that is active in a context, if there is one.
    pub fn of(context: &Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        Self::new(span.trace_id(), span.span_id(), span.is_sampled())
    }

    pub fn trace_id(&self) -> TraceId {
        self.trace
    }

    pub fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether who made it records the trace.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The same place as OpenTelemetry names it, seen from another process.
    pub fn span_context(&self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.trace, self.span, flags, true, TraceState::default())
    }

    /// A context in which this is the parent.
    pub fn context(&self) -> Context {
        Context::new().with_remote_span_context(self.span_context())
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// W3C Trace Context, section 3.2: lower-case hexadecimal digits; a version above 00 may be longer, and is read
/// as far as it is known.
impl FromStr for TraceParent {
    type Err = InvalidTraceParent;
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.trim_matches([' ', '\t']).split('-');
        let mut next = |digits: usize| {
            let lower_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == digits).filter(lower_hex).ok_or(InvalidTraceParent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(InvalidTraceParent);
        }
        let trace = TraceId::from_hex(trace).map_err(|_| InvalidTraceParent)?;
        let span = SpanId::from_hex(span).map_err(|_| InvalidTraceParent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceParent)?;
        Self::new(trace, span, flags & 1 == 1).ok_or(InvalidTraceParent)
    }
}

/// A trace that nothing belongs to yet.
pub fn new_trace_id() -> TraceId {
    TraceId::from(Uuid::new_v4().as_u128())
}

/// The id of the span that `name` stands for: the same name, the same id. A process that comes after another can
/// name the spans that the other made (links, parents) without having been told.
pub fn span_id_of(name: &str) -> SpanId {
    let digest = Sha256::digest(name);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    // Zero means none; no name in the world is known to hash to it.
    SpanId::from(u64::from_be_bytes(first).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_writes() {
        let parent: TraceParent = TEXT.parse().unwrap();
        assert_eq!(parent.to_string(), TEXT);
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled() && parent.span_context().is_remote());
        assert_eq!(TraceParent::of(&parent.context()), Some(parent));
        let unsampled = TEXT.replace("-01", "-00");
        assert_eq!(unsampled.parse::<TraceParent>().unwrap().to_string(), unsampled);
        let later = TEXT.replace("00-4", "cc-4") + "-what-the-future-brings";
        assert_eq!(later.parse::<TraceParent>(), Ok(parent));
        assert_eq!(TraceParent::of(&Context::new()), None);
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(InvalidTraceParent), "{bad}");
        }
    }

    #[test]
    fn headers_name_it_once() {
        let headers = |values: &[&str]| {
            values.iter().map(|value| (HEADER.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        assert_eq!(TraceParent::from_headers(&headers(&[TEXT])), TEXT.parse().ok());
        for none in [&[][..], &["nonsense"], &[TEXT, TEXT]] {
            assert_eq!(TraceParent::from_headers(&headers(none)), None);
        }
    }

    #[test]
    fn ids() {
        assert_ne!(new_trace_id(), new_trace_id());
        assert_eq!(span_id_of("a/b/ACTION/1/1"), span_id_of("a/b/ACTION/1/1"));
        assert_ne!(span_id_of("a/b/ACTION/1/1"), span_id_of("a/b/ACTION/1/2"));
    }
}
