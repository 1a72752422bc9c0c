//! An entry of the history, as under `GET /sagas/{id}/history`.

use std::borrow::Cow;

use serde::Serialize;

use super::At;
use crate::definition::Definition;
use crate::event::Actor;
use crate::history::{Row, RowData, RowKind};
use crate::json::RawJson;

/// One transition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EventView<'a> {
    pub seq: u32,
    pub at: At,
    #[serde(rename = "type")]
    pub kind: RowKind,
    pub step: Option<&'a str>,
    pub round: Option<u32>,
    pub attempt: Option<u32>,
    pub data: Cow<'a, RowData>,
    pub actor: &'a Actor,
}

impl<'a> EventView<'a> {
    /// `row` of a saga of `definition` that was started with `input`.
    pub fn of(definition: &'a Definition, row: &'a Row, input: &RawJson) -> Self {
        Self {
            seq: row.seq,
            at: At(row.at),
            kind: row.kind,
            step: row.step.map(|step| definition.step(step).name.as_str()),
            round: row.round,
            attempt: row.attempt,
            data: shown(&row.data, input),
            actor: &row.actor,
        }
    }
}

/// What a row says, and which input an operator replaced. The first one that a step loses is the saga's own, which is not
/// stored again in the row.
fn shown<'a>(data: &'a RowData, input: &RawJson) -> Cow<'a, RowData> {
    if data.input.is_none() || data.previous_input.is_some() {
        return Cow::Borrowed(data);
    }
    Cow::Owned(RowData { previous_input: Some(input.clone()), ..data.clone() })
}
