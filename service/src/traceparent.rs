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

/// The bytes of the text of a place.
pub const TRACE_BYTES: usize = 55;

const HEX: &[u8; 16] = b"0123456789abcdef";

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

    /// The text that [`fmt::Display`] prints, in `room`: there is one on each message.
    pub fn encode<'r>(&self, room: &'r mut [u8; TRACE_BYTES]) -> &'r str {
        *room = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let hex = |room: &mut [u8], bytes: &[u8]| {
            for (digits, byte) in room.chunks_exact_mut(2).zip(bytes) {
                digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
            }
        };
        hex(&mut room[3..35], &self.trace.to_bytes());
        hex(&mut room[36..52], &self.span.to_bytes());
        hex(&mut room[53..], &[self.sampled.into()]);
        std::str::from_utf8(room).unwrap_or_default() // which it is: ASCII
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
        f.write_str(self.encode(&mut [0; TRACE_BYTES]))
    }
}

/// W3C Trace Context, section 3.2: lower-case hexadecimal digits; a version above 00 may be longer, and is read
/// as far as it is known.
impl FromStr for TraceParent {
    type Err = InvalidTraceParent;
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let text = text.trim_matches([' ', '\t']).as_bytes();
        let (known, more) = text.split_at_checked(TRACE_BYTES).ok_or(InvalidTraceParent)?;
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-') && matches!(more, [] | [b'-', ..]);
        let (version, trace, span, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
        let (high, low) = trace.split_at(16);
        let (version, flags) = (hex(version)?, hex(flags)?);
        if !dashes || version == 0xff || (version == 0 && !more.is_empty()) {
            return Err(InvalidTraceParent);
        }
        let trace = u128::from(hex(high)?) << 64 | u128::from(hex(low)?);
        Self::new(TraceId::from(trace), SpanId::from(hex(span)?), flags & 1 == 1).ok_or(InvalidTraceParent)
    }
}

/// What each byte is as a lower-case hexadecimal digit; `NO_DIGIT` if it is none.
const DIGITS: [u8; 256] = {
    let (mut digits, mut value) = ([NO_DIGIT; 256], 0);
    while value < HEX.len() {
        digits[HEX[value] as usize] = value as u8;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0xff;

/// The number that up to 16 digits stand for.
fn hex(digits: &[u8]) -> Result<u64, InvalidTraceParent> {
    // No way out of the loop: each message brings 52 digits, and all but never a wrong one.
    let (bits, all) = digits.iter().fold((0, 0), |(bits, all), digit| {
        let value = DIGITS[usize::from(*digit)];
        (bits << 4 | u64::from(value & 0xf), all | value)
    });
    if all == NO_DIGIT { Err(InvalidTraceParent) } else { Ok(bits) }
}

/// A trace that nothing belongs to yet.
pub fn new_trace_id() -> TraceId {
    TraceId::from(Uuid::new_v4().as_u128())
}

/// The id of the span that `name` stands for: the same name, the same id. A process that comes after another can
/// name the spans that the other made (links, parents) without having been told.
pub fn span_id_of(name: &str) -> SpanId {
    span_id_of_joined([name])
}

/// The same for a name that is these texts one after the other.
pub fn span_id_of_joined<const N: usize>(name: [&str; N]) -> SpanId {
    let mut hash = Sha256::new();
    name.iter().for_each(|text| hash.update(text));
    let digest = hash.finalize();
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
    fn its_text_is_that_of_its_ids() {
        let mut bits: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        for round in 0..1000 {
            bits = bits.rotate_left(5).wrapping_add(round);
            let (trace, span) = (TraceId::from(bits), SpanId::from((bits >> 32) as u64 | 1));
            let parent = TraceParent::new(trace, span, round % 2 == 0).unwrap();
            let text = format!("00-{trace}-{span}-{:02x}", u8::from(round % 2 == 0));
            assert_eq!(parent.encode(&mut [0xff; TRACE_BYTES]), text);
            assert_eq!((parent.to_string(), text.parse()), (text.clone(), Ok(parent)));
        }
        for flags in 0..=u8::MAX {
            let text = format!("00-{}-{}-{flags:02x}", "1".repeat(32), "f".repeat(16));
            assert_eq!(text.parse::<TraceParent>().unwrap().is_sampled(), flags & 1 == 1);
        }
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
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-gbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473/-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b:-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0`",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-éf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
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
        assert_eq!(span_id_of("a/b/ACTION/1/1"), span_id_of_joined(["a", "/b/", "", "ACTION/1/1"]));
        // Spans that other versions made are found by it.
        assert_eq!(span_id_of("a/b/ACTION/1/1").to_string(), "26f8182f375adacc");
    }
}
