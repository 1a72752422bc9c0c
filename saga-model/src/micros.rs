//! Points in time and spans, as whole microseconds.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. The machine is given it, never asks for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// A span of time in milliseconds, as settings give it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Micros {
    /// This point and `span` microseconds later; stops at the end of time.
    pub fn plus(self, span: i64) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Microseconds from `earlier` to this point.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Millis {
    /// The same span in microseconds.
    pub fn micros(self) -> i64 {
        i64::try_from(self.0.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

/// RFC 3339 in UTC with `Z` and six fraction digits. Points outside the years 0 to 9999 print as the nearest one inside.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR_0: i64 = -62_167_219_200_000_000;
        const YEAR_9999: i64 = 253_402_300_799_999_999;
        let micros = self.0.clamp(YEAR_0, YEAR_9999);
        let seconds = micros.div_euclid(1_000_000);
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            micros.rem_euclid(1_000_000)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_599_363_000_001, "2026-11-25T09:36:03.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Micros(micros).to_string(), text);
        }
    }
}
