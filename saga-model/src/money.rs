//! Money, in minor units and never through binary floating point.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount in hundredths of its currency (two decimals in every currency), 0.01 to 999,999,999.99.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Amount(u64);

/// The text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an amount is written as digits with at most two decimals, from 0.01 to 999999999.99")]
pub struct InvalidAmount;

impl Amount {
    const MAX: u64 = 99_999_999_999;

    /// From hundredths; `None` outside 0.01 to 999,999,999.99.
    pub fn from_minor(minor: u64) -> Option<Self> {
        (1..=Self::MAX).contains(&minor).then_some(Self(minor))
    }

    /// In hundredths.
    pub fn minor(self) -> u64 {
        self.0
    }

    /// Reads text that matches `^(0|[1-9][0-9]*)(\.[0-9]{1,2})?$`.
    ///
    /// # Errors
    /// Any other text, and a value outside 0.01 to 999,999,999.99.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, cents) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let fits = digits(whole)
            && digits(cents)
            && cents.len() <= 2
            && whole.len() <= 9
            && (whole == "0" || !whole.starts_with('0'));
        if !fits {
            return Err(InvalidAmount);
        }
        let units: u64 = whole.parse().map_err(|_| InvalidAmount)?;
        let part: u64 = cents.parse().map_err(|_| InvalidAmount)?;
        let part = if cents.len() == 1 { part * 10 } else { part };
        Self::from_minor(units * 100 + part).ok_or(InvalidAmount)
    }
}

/// As a JSON number: no exponent, no trailing zeros (`500`, `499.9`, `499.99`).
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, cents) = (self.0 / 100, self.0 % 100);
        match cents {
            0 => write!(f, "{units}"),
            c if c % 10 == 0 => write!(f, "{units}.{}", c / 10),
            c => write!(f, "{units}.{c:02}"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// Reads a JSON number only (what this crate writes); request bodies go through [`Amount::parse`].
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_exactly() {
        for (text, printed) in [
            ("500", "500"),
            ("500.00", "500"),
            ("500.0", "500"),
            ("499.9", "499.9"),
            ("499.90", "499.9"),
            ("499.99", "499.99"),
            ("0.01", "0.01"),
            ("0.1", "0.1"),
            ("999999999.99", "999999999.99"),
        ] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), printed, "{text}");
            let json = serde_json::to_string(&Amount::parse(text).unwrap()).unwrap();
            assert_eq!(json, printed);
            assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), Amount::parse(text).unwrap());
        }
    }

    #[test]
    fn refuses_all_else() {
        for bad in [
            "",
            "0",
            "0.0",
            "0.00",
            "-1",
            "+1",
            "01",
            "1.",
            ".5",
            "1.234",
            "1e2",
            "1E2",
            " 1",
            "1 ",
            "1,5",
            "1000000000",
            "999999999.991",
            "NaN",
            "٣",
            "1.2.3",
            "--1",
            "-0",
        ] {
            assert_eq!(Amount::parse(bad), Err(InvalidAmount), "{bad}");
        }
    }
}
