//! Durations as settings and queries write them: a whole number with `ms`, `s`, `m` or `h`.

use saga_model::micros::Millis;

/// The longest duration that is read, in hours (over a century): sums of two stay inside every clock.
const LONGEST_HOURS: u64 = 1_000_000;
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The text is no duration; the message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    #[error("write a whole number with ms, s, m or h, such as 500ms, 10s or 24h")]
    Form,
    #[error("write a duration above 0, such as 500ms or 10s")]
    Zero,
    #[error("write a duration of at most {LONGEST_HOURS}h")]
    TooLong,
}

/// Reads a duration above 0, as settings take it (a clap `value_parser`).
///
/// # Errors
/// Another form, 0, or more than a million hours.
pub fn parse(text: &str) -> Result<Millis, InvalidDuration> {
    match parse_from_zero(text)? {
        Millis(0) => Err(InvalidDuration::Zero),
        millis => Ok(millis),
    }
}

/// Reads a duration that may be 0, as a query may give it.
///
/// # Errors
/// Another form, or more than a million hours.
pub fn parse_from_zero(text: &str) -> Result<Millis, InvalidDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration::Form)?;
    if number.is_empty() {
        return Err(InvalidDuration::Form);
    }
    // Digits alone, so what does not fit is too long, not malformed.
    let number: u64 = number.parse().map_err(|_| InvalidDuration::TooLong)?;
    number
        .checked_mul(*millis)
        .filter(|millis| *millis <= LONGEST_HOURS * 3_600_000)
        .map(Millis)
        .ok_or(InvalidDuration::TooLong)
}

/// Writes a duration in the form that [`parse`] reads, in the largest unit that divides it.
pub fn write(Millis(millis): Millis) -> String {
    let fits = UNITS.iter().rev().find(|(_, unit)| millis % unit == 0 && millis > 0);
    let (name, unit) = fits.unwrap_or(&UNITS[0]);
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_same_form() {
        for (text, millis, written) in [
            ("500ms", 500, "500ms"),
            ("10s", 10_000, "10s"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("15m", 900_000, "15m"),
            ("24h", 86_400_000, "24h"),
            ("1000000h", 3_600_000_000_000, "1000000h"),
            ("007s", 7_000, "7s"),
        ] {
            assert_eq!(parse(text), Ok(Millis(millis)), "{text}");
            assert_eq!(write(Millis(millis)), written);
        }
        assert_eq!(write(Millis(0)), "0ms");
    }

    #[test]
    fn refuses_every_other_form() {
        for text in
            ["", "s", "10", "1.5s", "-1s", "+1s", " 1s", "1s ", "1 s", "1S", "1d", "1us", "ms", "1m30s", "١s", "é"]
        {
            assert_eq!(parse(text), Err(InvalidDuration::Form), "{text}");
        }
        for text in ["0s", "0ms", "000h"] {
            assert_eq!(parse(text), Err(InvalidDuration::Zero), "{text}");
            assert_eq!(parse_from_zero(text), Ok(Millis(0)));
        }
        for text in ["1000001h", "18446744073709551615h", "99999999999999999999999ms"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
    }
}
