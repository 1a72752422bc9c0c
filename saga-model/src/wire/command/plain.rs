//! The straight way to a command that has no faults, as there is one to a [reply](crate::wire::reply).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Command, DEEPER};
use crate::json::{MAX_DEPTH, RawJson, is_plain_object, present, read_object};
use crate::wire::MAX_MESSAGE_BYTES;
use crate::wire::fields::{count, kind};

/// Texts are borrowed, so one that has an escape in it is none of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain<'a> {
    saga_id: &'a str,
    step: &'a str,
    kind: &'a str,
    round: u32,
    attempt: u32,
    idempotency_key: &'a str,
    /// For people.
    #[serde(default, rename = "epoch")]
    _epoch: u64,
    #[serde(borrow, default, deserialize_with = "present")]
    deadline: Option<&'a str>,
    token: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// A command that is one, if nothing about it is out of the ordinary.
pub(super) fn read(bytes: &[u8]) -> Option<Command> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let plain: Plain<'_> = read_object(bytes)?;
    // One more level is the message itself.
    let sound = is_plain_object(plain.payload, MAX_DEPTH + DEEPER - 1);
    Some(Command {
        saga_id: plain.saga_id.parse().ok()?,
        step: plain.step.to_owned(),
        kind: kind(plain.kind)?,
        round: count(plain.round)?,
        attempt: count(plain.attempt)?,
        idempotency_key: plain.idempotency_key.to_owned(),
        token: plain.token.to_owned(),
        deadline: plain.deadline.map(str::to_owned),
        payload: sound.then(|| RawJson::from(plain.payload))?,
    })
}

#[cfg(test)]
mod tests;
