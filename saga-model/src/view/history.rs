//! An entry of the history, as under `GET /sagas/{id}/history`.

use serde::Serialize;

use super::At;
use crate::definition::Definition;
use crate::event::Actor;
use crate::history::{Row, RowData, RowKind};

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
    pub data: &'a RowData,
    pub actor: &'a Actor,
}

impl<'a> EventView<'a> {
    /// `row` of a saga of `definition`.
    pub fn of(definition: &'a Definition, row: &'a Row) -> Self {
        Self {
            seq: row.seq,
            at: At(row.at),
            kind: row.kind,
            step: row.step.map(|step| definition.step(step).name.as_str()),
            round: row.round,
            attempt: row.attempt,
            data: &row.data,
            actor: &row.actor,
        }
    }
}
