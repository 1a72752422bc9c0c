//! History rows.

use std::borrow::Cow;
use std::sync::Arc;

use saga_model::definition::StepIndex;
use saga_model::event::Actor;
use saga_model::history::Row;
use saga_model::ids::ShardId;
use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::{from_word, json, number, plain, refused};
use crate::store::Result;
use crate::store::entity::history::Model;
use crate::store::rows::HistoryRow;

/// What is written of a history row.
pub struct Entry {
    pub saga_id: Uuid,
    pub seq: i32,
    pub shard: i16,
    pub shard_seq: i64,
    pub at: i64,
    pub kind: &'static str,
    pub step: Option<i16>,
    pub round: Option<i32>,
    pub attempt: Option<i32>,
    pub data: String,
    pub actor: Cow<'static, str>,
}

/// What a row's data usually takes beside an output.
const USUAL_BYTES: usize = 256;

/// The columns of a history row.
pub fn entry(entry: &HistoryRow) -> Result<Entry> {
    let HistoryRow { saga, shard, shard_seq, row } = entry;
    let what = format_args!("history row {} of saga {saga}", row.seq);
    let some = |value: Option<u32>| value.map(|value| number(what, value)).transpose();
    let actor = row.actor.text();
    Ok(Entry {
        saga_id: saga.uuid(),
        seq: number(what, row.seq)?,
        shard: number(what, shard.0)?,
        shard_seq: number(what, *shard_seq)?,
        at: row.at.0,
        kind: row.kind.as_str(),
        step: row.step.map(|step| i16::from(step.0)),
        round: some(row.round)?,
        attempt: some(row.attempt)?,
        data: json(what, &row.data, USUAL_BYTES + row.data.output.as_ref().map_or(0, |output| output.get().len()))?,
        actor: if actor.contains('\0') { plain(&actor).into() } else { actor },
    })
}

impl From<Entry> for Model {
    fn from(entry: Entry) -> Self {
        let Entry { saga_id, seq, shard, shard_seq, at, kind, step, round, attempt, data, actor } = entry;
        let (kind, actor) = (kind.to_owned(), actor.into_owned());
        Self { saga_id, seq, shard, shard_seq, at, kind, step, round, attempt, data, actor }
    }
}

/// The history row of a table's row.
pub fn record(row: Model) -> Result<HistoryRow> {
    let saga = SagaId::from(row.saga_id);
    let what = format_args!("history row {} of saga {saga}", row.seq);
    let some = |value: Option<i32>| value.map(|value| number(what, value)).transpose();
    Ok(HistoryRow {
        saga,
        shard: ShardId(number(what, row.shard)?),
        shard_seq: number(what, row.shard_seq)?,
        row: Arc::new(Row {
            seq: number(what, row.seq)?,
            at: Micros(row.at),
            kind: from_word(what, &row.kind)?,
            step: row.step.map(|step| number(what, step).map(StepIndex)).transpose()?,
            round: some(row.round)?,
            attempt: some(row.attempt)?,
            data: serde_json::from_str(&row.data).map_err(|error| refused(what, error))?,
            actor: Actor::try_from(row.actor).map_err(|actor| refused(what, format_args!("actor {actor:?}")))?,
        }),
    })
}
