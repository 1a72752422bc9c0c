//! Points in time and spans, as whole microseconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, Time};

/// A point in time: microseconds since 1970-01-01T00:00:00Z. The machine is given it, never asks for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// A span of time in milliseconds, as settings give it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// The bytes of the text of a time.
pub const TIME_BYTES: usize = 27;

impl Micros {
    /// The text that [`fmt::Display`] prints, in `room`: there are several in each message of a saga.
    pub fn encode(self, room: &mut [u8; TIME_BYTES]) -> &str {
        const YEAR_0: i64 = -62_167_219_200_000_000;
        const YEAR_9999: i64 = 253_402_300_799_999_999;
        let micros = self.0.clamp(YEAR_0, YEAR_9999);
        let at = OffsetDateTime::from_unix_timestamp(micros.div_euclid(1_000_000));
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
        *room = *b"0000-00-00T00:00:00.000000Z";
        put(&mut room[0..4], year.unsigned_abs()); // from 0 on
        for (from, part) in [(5, month.into()), (8, day), (11, hour), (14, minute), (17, second)] {
            put(&mut room[from..from + 2], part.into());
        }
        put(&mut room[20..26], micros.rem_euclid(1_000_000) as u32); // below a million
        std::str::from_utf8(room).unwrap_or_default() // which it is: ASCII
    }

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

/// As settings give it: a whole number of the largest unit that fits, `500ms`, `10s`, `90m`, `24h`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0ms"),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1000 == 0 => write!(f, "{}s", n / 1000),
            n => write!(f, "{n}ms"),
        }
    }
}

/// Fills `room` with the last digits of `number`.
fn put(room: &mut [u8], mut number: u32) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8; // one digit
        number /= 10;
    }
}

/// RFC 3339 in UTC with `Z` and six fraction digits. Points outside the years 0 to 9999 print as the nearest one inside.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; TIME_BYTES]))
    }
}

/// The text is not a time as this crate prints it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time in the form 2026-01-31T23:59:59.000000Z")]
pub struct InvalidTime;

/// Reads exactly what [`fmt::Display`] prints.
impl FromStr for Micros {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let shape = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
        let fits = |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
        if text.len() != shape.len() || !text.bytes().zip(shape).all(fits) {
            return Err(InvalidTime);
        }
        let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().map_err(|_| InvalidTime);
        let small = |range| part(range).map(|n| n as u8); // two digits
        let month = Month::try_from(small(5..7)?).map_err(|_| InvalidTime)?;
        let date = Date::from_calendar_date(part(0..4)? as i32, month, small(8..10)?).map_err(|_| InvalidTime)?;
        let time = Time::from_hms_micro(small(11..13)?, small(14..16)?, small(17..19)?, part(20..26)?)
            .map_err(|_| InvalidTime)?;
        let at = date.with_time(time).assume_utc();
        Ok(Self(at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond())))
    }
}

/// An optional time as its RFC 3339 text, for JSON that the outside sees.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Micros, TIME_BYTES};

    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::ref_option)] // the form that serde asks for
    pub fn serialize<S: Serializer>(at: &Option<Micros>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(at.encode(&mut [0; TIME_BYTES])),
            None => serializer.serialize_none(),
        }
    }

    /// # Errors
    /// If there is another text than [`Micros`] prints.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Micros>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
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

    /// Over all that an `i64` can hold, and with the fields of each time as the `time` crate has them.
    #[test]
    fn its_text_is_that_of_its_fields() {
        const SPAN: i64 = 253_402_300_799_999_999 + 62_167_219_200_000_000;
        let mut random: u64 = 1;
        for round in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let micros = match round % 4 {
                0 => random as i64,
                1 => (random as i64).rem_euclid(4_102_444_800_000_000), // 1970 to 2099
                // Around the beginning of a year.
                2 => 31_556_952_000_000 * (random as i64).rem_euclid(400) + (random >> 60) as i64 - 8,
                _ => (random as i64).rem_euclid(SPAN) - 62_167_219_200_000_000,
            };
            let inside = micros.clamp(-62_167_219_200_000_000, 253_402_300_799_999_999);
            let at = OffsetDateTime::from_unix_timestamp(inside.div_euclid(1_000_000)).unwrap();
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                at.year(),
                u8::from(at.month()),
                at.day(),
                at.hour(),
                at.minute(),
                at.second(),
                inside.rem_euclid(1_000_000)
            );
            assert_eq!(Micros(micros).encode(&mut [0xff; TIME_BYTES]), text);
            assert_eq!(format!("{}", Micros(micros)), text);
        }
    }

    #[test]
    fn spans_print_as_settings_give_them() {
        for (millis, text) in [(0, "0ms"), (500, "500ms"), (1500, "1500ms"), (10_000, "10s"), (5_400_000, "90m")] {
            assert_eq!(Millis(millis).to_string(), text);
        }
        assert_eq!(Millis(86_400_000).to_string(), "24h");
    }

    #[test]
    fn reads_what_it_prints() {
        for micros in [0, 1_795_599_363_000_001, -1, -62_167_219_200_000_000, 253_402_300_799_999_999] {
            assert_eq!(Micros(micros).to_string().parse(), Ok(Micros(micros)));
        }
        for bad in [
            "",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.000Z",
            "1970-13-01T00:00:00.000000Z",
            "1970-02-30T00:00:00.000000Z",
            "1970-01-01T24:00:00.000000Z",
            "1970-01-01t00:00:00.000000Z",
            "1970-01-01T00:00:00.000000+00:00",
            "1970-01-01T00:00:00.00000\u{e9}",
            "+970-01-01T00:00:00.000000Z",
        ] {
            assert_eq!(bad.parse::<Micros>(), Err(InvalidTime), "{bad}");
        }
    }
}
