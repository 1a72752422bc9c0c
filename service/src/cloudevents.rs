//! The headers of a message: CloudEvents 1.0 in Kafka's binary mode, and for traces the W3C `traceparent` and `baggage`.
//!
//! They are for people and for other systems: nothing in the project decides by them, but for the trace.

use saga_model::ids::ID_BYTES;
use saga_model::micros::TIME_BYTES;
use saga_model::{Micros, SagaId};

use crate::headers::Headers;
use crate::traceparent::{self, TRACE_BYTES, TraceParent};

/// What the headers of a message say.
#[derive(Clone, Debug)]
pub struct CloudEvent<'a> {
    /// The same on every repeat of the same message.
    pub id: String,
    /// The topic, which is also the event's type.
    pub topic: &'a str,
    /// What it is about.
    pub saga: SagaId,
    /// When it happened.
    pub time: Micros,
    /// For a domain event: the history row that it belongs to.
    pub sequence: Option<u64>,
    pub trace: Option<TraceParent>,
    /// For a command: the name of its saga's definition (letters, digits and hyphens), for the spans of whoever does it.
    pub definition: Option<&'a str>,
}

/// The header and the member of it that says of which definition a saga is.
const BAGGAGE: &str = "baggage";
const DEFINITION: &str = "saga.definition=";

impl CloudEvent<'_> {
    /// The headers.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        headers.push("ce_specversion", b"1.0");
        headers.push("ce_id", self.id.as_bytes());
        headers.push("ce_type", self.topic.as_bytes());
        headers.push("ce_source", b"/saga"); // where all messages come from, as CloudEvents names it
        headers.push("ce_subject", self.saga.encode(&mut [0; ID_BYTES]).as_bytes());
        headers.push("ce_time", self.time.encode(&mut [0; TIME_BYTES]).as_bytes());
        headers.push("content-type", b"application/json");
        if let Some(sequence) = self.sequence {
            headers.push("ce_sequence", itoa::Buffer::new().format(sequence).as_bytes());
        }
        if let Some(trace) = self.trace {
            headers.push(traceparent::HEADER, trace.encode(&mut [0; TRACE_BYTES]).as_bytes());
        }
        if let Some(definition) = self.definition {
            headers.push_joined(BAGGAGE, [DEFINITION, definition]);
        }
        headers
    }
}

/// The trace that a message belongs to. A malformed one counts as none.
pub fn trace(headers: &Headers) -> Option<TraceParent> {
    headers.text(traceparent::HEADER)?.parse().ok()
}

/// The definition of the saga that a command is about, if it is said.
pub fn definition(headers: &Headers) -> Option<&str> {
    let members = headers.text(BAGGAGE)?.split(',');
    // What stands behind a semicolon are properties of the member.
    members.filter_map(|member| member.split(';').next()?.trim().strip_prefix(DEFINITION)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn headers_in_binary_mode() {
        let event = CloudEvent {
            id: format!("{ID}/3/order.confirmed"),
            topic: "order.confirmed",
            saga: ID.parse().unwrap(),
            time: Micros(1),
            sequence: Some(3),
            trace: TRACE.parse().ok(),
            definition: Some("order-fulfilment"),
        };
        let headers = event.headers();
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa/3/order.confirmed"),
            ("ce_type", "order.confirmed"),
            ("ce_source", "/saga"),
            ("ce_subject", ID),
            ("ce_time", "1970-01-01T00:00:00.000001Z"),
            ("ce_sequence", "3"),
            ("content-type", "application/json"),
            ("traceparent", TRACE),
            ("baggage", "saga.definition=order-fulfilment"),
        ] {
            assert_eq!(headers.text(name), Some(value), "{name}");
        }
        assert_eq!(trace(&headers), TRACE.parse().ok());
        assert_eq!(definition(&headers), Some("order-fulfilment"));
        let bare = CloudEvent { sequence: None, trace: None, definition: None, ..event };
        assert_eq!(bare.headers().len(), headers.len() - 3);
    }

    #[test]
    fn what_cannot_be_read_counts_as_none() {
        let headers = [("traceparent", &b"\xff"[..]), ("x", b"1")];
        assert_eq!(trace(&headers.into_iter().collect()), None);
        assert_eq!(trace(&Headers::new()), None);
        let among = |text: &'static [u8]| [(BAGGAGE, text)].into_iter().collect::<Headers>();
        assert_eq!(definition(&among(b"a=1, saga.definition=parcel;p=2 ,b=3")), Some("parcel"));
        assert_eq!(
            (definition(&among(b"a=1")), definition(&among(b"\xff")), definition(&Headers::new())),
            (None, None, None)
        );
    }
}
