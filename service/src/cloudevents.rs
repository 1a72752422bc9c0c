//! The headers of a message: CloudEvents 1.0 in Kafka's binary mode, and the W3C `traceparent`.
//!
//! They are for people and for other systems: nothing in the project decides by them, but for the trace.

use saga_model::{Micros, SagaId};

use crate::traceparent::{self, TraceParent};

/// Where all messages come from, as CloudEvents names it.
const SOURCE: &[u8] = b"/saga";

/// A header of a message: its name and its bytes.
pub type Header = (String, Vec<u8>);

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
}

impl CloudEvent<'_> {
    /// The headers.
    pub fn headers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = vec![
            ("ce_specversion", b"1.0".to_vec()),
            ("ce_id", self.id.clone().into_bytes()),
            ("ce_type", self.topic.as_bytes().to_vec()),
            ("ce_source", SOURCE.to_vec()),
            ("ce_subject", self.saga.to_string().into_bytes()),
            ("ce_time", self.time.to_string().into_bytes()),
            ("content-type", b"application/json".to_vec()),
        ];
        headers.extend(self.sequence.map(|sequence| ("ce_sequence", sequence.to_string().into_bytes())));
        headers.extend(self.trace.map(|trace| (traceparent::HEADER, trace.to_string().into_bytes())));
        headers
    }
}

/// The text of a header, if it is there and is text; the last, if it is there several times.
pub fn text<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().rev().find(|(key, _)| key == name)?;
    std::str::from_utf8(value).ok()
}

/// The trace that a message belongs to. A malformed one counts as none.
pub fn trace(headers: &[Header]) -> Option<TraceParent> {
    text(headers, traceparent::HEADER)?.parse().ok()
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
        };
        let headers: Vec<Header> = event.headers().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
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
        ] {
            assert_eq!(text(&headers, name), Some(value), "{name}");
        }
        assert_eq!(trace(&headers), TRACE.parse().ok());
        let bare = CloudEvent { sequence: None, trace: None, ..event };
        assert_eq!(bare.headers().len(), headers.len() - 2);
    }

    #[test]
    fn what_cannot_be_read_counts_as_none() {
        let headers = [("traceparent".to_owned(), b"\xff".to_vec()), ("x".to_owned(), b"1".to_vec())];
        assert_eq!((trace(&headers), text(&headers, "y"), text(&headers, "x")), (None, None, Some("1")));
    }
}
