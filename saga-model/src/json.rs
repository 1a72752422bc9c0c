//! A strict reading of JSON: numbers keep their text, duplicate keys stay visible, nesting is bounded.
//!
//! `serde_json` does the reading; what is added is what its [`serde_json::Value`] hides. Each level is
//! read as raw text first and then looked into, so a text is scanned once per level of nesting, of
//! which there are at most [`MAX_DEPTH`], or a few more.

mod duplicates;
mod plain;
mod raw;

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use duplicates::pointer_token;
pub(crate) use plain::is_plain_object;
pub use plain::{is_shallow, present, read_object};
pub use raw::RawJson;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 32;

/// A JSON value and the text that it was read from.
#[derive(Debug, Clone)]
pub struct Json<'a> {
    /// The value as it stood in the text.
    pub raw: &'a RawValue,
    pub value: Value<'a>,
}

/// What a [`Json`] is.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// The text of the number, as written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// The members in order, duplicates included.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// The text is not JSON that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not valid JSON: {0}")]
    Malformed(String),
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

/// Reads one JSON value and nothing after it.
///
/// # Errors
/// Empty or truncated text, text after the value, invalid UTF-8, a lone surrogate: [`JsonError::Malformed`];
/// more than [`MAX_DEPTH`] levels of arrays and objects: [`JsonError::TooDeep`].
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    parse_within(bytes, MAX_DEPTH)
}

/// [`parse`] with another limit of nesting.
pub(crate) fn parse_within(bytes: &[u8], max_depth: usize) -> Result<Json<'_>, JsonError> {
    // The scan for depth comes first: it is linear, so no text can make the levels below costly. With so few brackets
    // it cannot be deep.
    if !is_shallow(bytes, max_depth) && depth_of(bytes) > max_depth {
        return Err(JsonError::TooDeep(max_depth));
    }
    let raw: &RawValue = serde_json::from_slice(bytes).map_err(malformed)?;
    look_into(raw)
}

fn malformed(error: serde_json::Error) -> JsonError {
    JsonError::Malformed(error.to_string())
}

/// The deepest nesting of brackets outside strings; for text that is not JSON, some number.
fn depth_of(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn look_into(raw: &RawValue) -> Result<Json<'_>, JsonError> {
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text).map_err(malformed)?;
            let members = members.0.into_iter();
            Value::Object(members.map(|(key, raw)| Ok((key.0, look_into(raw)?))).collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
            Value::Array(items.into_iter().map(look_into).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::String(unquoted(text)?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        Some(_) => Value::Number(text),
        None => return Err(JsonError::Malformed("empty".to_owned())),
    };
    Ok(Json { raw, value })
}

/// A string that was read already, without its quotes.
fn unquoted(text: &str) -> Result<Cow<'_, str>, JsonError> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) | None => Ok(serde_json::from_str::<Text<'_>>(text).map_err(malformed)?.0),
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object, duplicates kept.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'a> Json<'a> {
    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match &self.value {
            Value::Object(members) => Some(members),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => None,
        }
    }

    /// The text of the number, if this is one.
    pub fn as_number(&self) -> Option<&'a str> {
        match &self.value {
            Value::Number(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) | Value::Array(_) => None,
        }
    }

    /// The member of that name, the first if there are several.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_numbers_and_duplicates() {
        let json = parse(br#"{"a": 1.50, "b": [{"x/y": 1, "x/y": 2}], "a": 1e999}"#).unwrap();
        assert_eq!(json.get("a").unwrap().as_number(), Some("1.50"));
        assert_eq!(json.duplicate_keys(), ["/b/0/x~1y", "/a"]);
    }

    #[test]
    fn a_short_text_makes_no_long_list_of_duplicates() {
        let pairs: String = (0..2_500).map(|n| format!(r#""{n}":1,"{n}":1,"#)).collect();
        let text = format!(r#"{{"{}":{{{pairs}"a":1}}}}"#, "k".repeat(30_000));
        let found = parse(text.as_bytes()).unwrap().duplicate_keys();
        assert!((1..=100).contains(&found.len()), "{}", found.len());
        assert!(found.iter().map(String::len).sum::<usize>() < 100_000);
        let flat = format!(r#"{{{pairs}"a":1}}"#);
        assert_eq!(parse(flat.as_bytes()).unwrap().duplicate_keys().len(), 100);
    }

    #[test]
    fn a_key_that_stands_often_is_one_duplicate() {
        let text = format!(r#"{{{}"a":{{"b":1,"b":2}}}}"#, r#""a":{"b":1,"b":2},"#.repeat(3_000));
        assert_eq!(parse(text.as_bytes()).unwrap().duplicate_keys(), ["/a/b", "/a"]);
    }

    #[test]
    fn refuses_what_is_not_one_value() {
        for bad in [
            &b""[..],
            b" ",
            b"{",
            b"{} x",
            b"{}{}",
            b"\xff",
            b"\"\xff\"",
            br#""\ud800""#,
            b"nul",
            b"[1,]",
            b"01",
            b"{\"a\"}",
            b"\xef\xbb\xbf{}",
            br#"{"\ud800": 1}"#,
            br#"[{"a": "\udc00"}]"#,
            b"tru",
            b"'a'",
            b"NaN",
            b"\"a\nb\"",
            b"]",
            b"1 2",
        ] {
            assert!(matches!(parse(bad), Err(JsonError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(32).as_bytes()).is_ok());
        assert_eq!(parse(nested(33).as_bytes()).unwrap_err(), JsonError::TooDeep(MAX_DEPTH));
        assert_eq!(parse(nested(60_000).as_bytes()).unwrap_err(), JsonError::TooDeep(MAX_DEPTH));
        assert!(parse(br#""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[[[[[[[[[[[[[""#).is_ok());
    }
}
