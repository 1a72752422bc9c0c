//! The straight way to a reply that has no faults.
//!
//! Nearly every reply is one. It is read once, and no tree is made of it; nothing is taken that the long way would not
//! take, or would take for something else. Where anything is out of the ordinary (an error, an unknown field, an escape)
//! it gives up, for only the other can say what is wrong.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ReplyMessage, read_outcome};
use crate::json::{MAX_DEPTH, RawJson, is_plain_object, present, read_object};
use crate::wire::fields::{count, kind};
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
    #[serde(borrow, default, deserialize_with = "present")]
    output: Option<&'a RawValue>,
}

/// A reply that is one, if nothing about it is out of the ordinary.
pub(super) fn read(bytes: &[u8]) -> Option<ReplyMessage> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let plain: Plain<'_> = read_object(bytes)?;
    Some(ReplyMessage {
        saga_id: plain.saga_id.parse().ok()?,
        step: plain.step.to_owned(),
        kind: kind(plain.kind)?,
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
    // One more level is the message itself.
    let sound = output.get().len() <= MAX_OUTPUT_BYTES && is_plain_object(output, MAX_DEPTH - 1);
    sound.then(|| RawJson::from(output))
}

#[cfg(test)]
mod tests;
