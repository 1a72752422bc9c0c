//! Whether a JSON text is free of what the strict reading looks for, found out without making a tree of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads an object into a struct; `None` if that fails. (A derived struct would take an array of its fields as well.)
pub fn read_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    is_object.then(|| serde_json::from_slice(bytes).ok())?
}

/// For a field that may be missing, but has its type where it is there: `null` is then a wrong one, or a value.
///
/// # Errors
/// Those of the deserializer.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Whether `raw` is an object that has no more than `levels` of nesting and no key twice in any of its objects. Of one
/// that is, but is out of the ordinary (many brackets, many keys, huge numbers), it may say no.
pub(crate) fn is_plain_object(raw: &RawValue, levels: usize) -> bool {
    let text = raw.get();
    text.starts_with('{') && is_shallow(text.as_bytes(), levels) && serde_json::from_str::<Unique>(text).is_ok()
}

/// Whether there are so few brackets that nothing can be nested deeper than `levels`.
pub fn is_shallow(text: &[u8], levels: usize) -> bool {
    text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= levels
}

/// Any value in which no object has the same key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without duplicate keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        /// More keys than this are compared faster in another way.
        const FEW: usize = 16;
        let mut seen: Vec<Key<'_>> = Vec::new();
        while let Some(key) = map.next_key::<Key<'_>>()? {
            if seen.len() == FEW || seen.contains(&key) {
                return Err(A::Error::custom("many keys, or one of them twice"));
            }
            seen.push(key);
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

#[derive(PartialEq, Eq, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
