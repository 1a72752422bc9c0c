//! The clock of this process, and the one form of time that it reads. Writing is [`Micros`]' own `Display`.

use chrono::{DateTime, Utc};
use saga_model::Micros;

/// The text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a time as RFC 3339, such as 2026-11-25T09:36:03.000001Z")]
pub struct InvalidTime;

/// Now, by this machine's clock.
pub fn now() -> Micros {
    #[expect(clippy::disallowed_methods, reason = "log lines and workers have no clock of the corridor to ask")]
    Micros(Utc::now().timestamp_micros())
}

/// Reads an RFC 3339 time. Any offset is taken (the answer is UTC all the same), and up to nine fraction
/// digits, of which the first six count.
///
/// # Errors
/// Every other form.
pub fn parse(text: &str) -> Result<Micros, InvalidTime> {
    DateTime::parse_from_rfc3339(text).map(|at| Micros(at.timestamp_micros())).map_err(|_| InvalidTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_written() {
        for micros in [0, 1, -1, 1_795_599_363_000_001, 253_402_300_799_999_999] {
            assert_eq!(parse(&Micros(micros).to_string()), Ok(Micros(micros)));
        }
    }

    #[test]
    fn reads_rfc_3339_and_nothing_else() {
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", 1_000_000),
            ("1970-01-01T01:00:00.5+01:00", 500_000),
            ("1970-01-01T00:00:00.123456789Z", 123_456),
        ] {
            assert_eq!(parse(text), Ok(Micros(micros)), "{text}");
        }
        for text in
            ["", "yesterday", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "0", "1970-01-01T00:00Z"]
        {
            assert_eq!(parse(text), Err(InvalidTime), "{text}");
        }
    }
}
