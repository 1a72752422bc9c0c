//! The straight way to a reply that has no faults.
//!
//! Nearly every reply is one. It is read once, and no tree is made of it; nothing is taken that the long way would not
//! take, or would take for something else. Where anything is out of the ordinary (an error, an unknown field, an escape)
//! it gives up, for only the other can say what is wrong.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{ReplyMessage, read_outcome};
use crate::json::{MAX_DEPTH, RawJson};
use crate::state::Kind;
use crate::wire::{MAX_MESSAGE_BYTES, MAX_OUTPUT_BYTES};

/// Texts are borrowed, so one that has an escape in it is none of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain<'a> {
    saga_id: &'a str,
    step: &'a str,
    kind: &'a str,
    round: u32,
    attempt: u32,
    token: &'a str,
    outcome: &'a str,
    #[serde(borrow, default, deserialize_with = "raw")]
    output: Option<&'a RawValue>,
}

/// A value that is there: `null` is one.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A reply that is one, if nothing about it is out of the ordinary.
pub(super) fn read(bytes: &[u8]) -> Option<ReplyMessage> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let plain: Plain<'_> = serde_json::from_slice(bytes).ok()?;
    let count = |n: u32| (1..=0x7fff_ffff).contains(&n).then_some(n);
    Some(ReplyMessage {
        saga_id: plain.saga_id.parse().ok()?,
        step: plain.step.to_owned(),
        kind: [Kind::Action, Kind::Compensate].into_iter().find(|kind| kind.as_str() == plain.kind)?,
        round: count(plain.round)?,
        attempt: count(plain.attempt)?,
        token: plain.token.to_owned(),
        outcome: read_outcome(plain.outcome).ok()?,
        output: match plain.output {
            Some(output) => Some(sound(output)?),
            None => None,
        },
        error: None,
    })
}

/// An object of bounded size and depth, without duplicate keys in it.
fn sound(output: &RawValue) -> Option<RawJson> {
    let text = output.get();
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    // One more level is the message itself. With so few brackets it cannot be too deep.
    let sound = text.len() <= MAX_OUTPUT_BYTES && brackets < MAX_DEPTH && text.starts_with('{');
    (sound && serde_json::from_str::<Unique>(text).is_ok()).then(|| RawJson::from(output))
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

#[cfg(test)]
mod tests;
