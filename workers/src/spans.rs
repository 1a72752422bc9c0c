//! Spans of time in the unit that the tables use.

use std::time::Duration;

/// `span` after `micros`; stops at the end of time.
pub fn after(micros: i64, span: Duration) -> i64 {
    micros.saturating_add(micros_of(span))
}

/// A span in microseconds.
pub fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
