//! When two bodies ask for the same: a digest that forgets how JSON was written and keeps what it says.
//!
//! Spaces, the order of members, escapes and the spelling of a number (`1`, `1.0`, `10e-1`) do not count.

use saga_model::json::{Json, Value};
use sha2::{Digest, Sha256};

/// The digest of parts (SHA-256, hexadecimal), equal exactly if each part says the same.
pub fn of(parts: &[Part<'_>]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        match part {
            Part::Absent => digest.update(b"-"),
            Part::Text(text) => put(&mut digest, b'"', text.as_bytes()),
            Part::Json(json) => write(json, &mut digest),
        }
    }
    format!("{:x}", digest.finalize())
}

/// Something that a request says.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    Absent,
    Text(&'a str),
    Json(&'a Json<'a>),
}

impl<'a> From<Option<&'a str>> for Part<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }
}

/// The length goes first, so that no two sequences of texts read the same.
fn put(digest: &mut Sha256, tag: u8, bytes: &[u8]) {
    digest.update([tag]);
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

fn write(json: &Json<'_>, digest: &mut Sha256) {
    match &json.value {
        Value::Null => digest.update(b"n"),
        Value::Bool(true) => digest.update(b"t"),
        Value::Bool(false) => digest.update(b"f"),
        Value::Number(text) => put(digest, b'#', number(text).as_bytes()),
        Value::String(text) => put(digest, b'"', text.as_bytes()),
        Value::Array(items) => {
            put(digest, b'[', &[]);
            items.iter().for_each(|item| write(item, digest));
            digest.update(b"]");
        }
        Value::Object(members) => {
            put(digest, b'{', &[]);
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in members {
                put(digest, b'"', key.as_bytes());
                write(value, digest);
            }
            digest.update(b"}");
        }
    }
}

/// A number in one spelling: sign, digits without zeros around them, power of ten.
fn number(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let dropped = digits.trim_start_matches('0').len() - significant.len();
    match exponent.parse::<i64>() {
        // A body is too short for the lengths to overflow.
        Ok(exponent) if exponent.unsigned_abs() < u64::from(u32::MAX) => {
            format!("{sign}{significant}e{}", exponent + dropped as i64 - fraction.len() as i64)
        }
        // Beyond all numbers that mean something: as it is written.
        Ok(_) | Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use saga_model::json::parse;

    use super::*;

    fn digest(text: &str) -> String {
        of(&[Part::Json(&parse(text.as_bytes()).unwrap())])
    }

    #[test]
    fn the_same_said_otherwise() {
        for (one, other) in [
            (r#"{"a": 1, "b": [1, 2]}"#, "{\"b\":[1.0,2e0],\n\"a\":10e-1}"),
            (r#"{"a": "\u0041/"}"#, r#"{"a": "A\/"}"#),
            ("[0, -0, 0.0, 0e9]", "[0,0,0,0]"),
            ("[500, 0.5]", "[5.00e2, 5e-1]"),
            ("[1e99999999999999999999]", "[ 1e99999999999999999999 ]"),
        ] {
            assert_eq!(digest(one), digest(other), "{one} {other}");
        }
    }

    #[test]
    fn something_else() {
        let texts = [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "1e99999999999999999999",
            r#""""#,
            r#""0""#,
            r#""[]""#,
            r#"["a","b"]"#,
            r#"["ab"]"#,
            r#"["b","a"]"#,
            r#"[["a"],"b"]"#,
            r#"{"a":"b"}"#,
            r#"{"a":{"b":{}}}"#,
            r#"{"a":{},"b":{}}"#,
        ];
        let digests: std::collections::BTreeSet<_> = texts.iter().map(|text| digest(text)).collect();
        assert_eq!(digests.len(), texts.len());
        assert_ne!(of(&[Part::Absent, Part::Text("a")]), of(&[Part::Text("a"), Part::Absent]));
        assert_ne!(of(&[Part::Text("ab")]), of(&[Part::Text("a"), Part::Text("b")]));
    }
}
