//! History rows.

use saga_model::definition::StepIndex;
use saga_model::event::Actor;
use saga_model::history::Row;
use saga_model::ids::ShardId;
use saga_model::{Micros, SagaId};

use super::{from_word, json, number, plain, refused, word};
use crate::store::Result;
use crate::store::entity::history::Model;
use crate::store::rows::HistoryRow;

/// The table's row of a history row.
pub fn row(entry: &HistoryRow) -> Result<Model> {
    let HistoryRow { saga, shard, shard_seq, row } = entry;
    let what = format_args!("history row {} of saga {saga}", row.seq);
    let some = |value: Option<u32>| value.map(|value| number(what, value)).transpose();
    Ok(Model {
        saga_id: saga.uuid(),
        seq: number(what, row.seq)?,
        shard: number(what, shard.0)?,
        shard_seq: number(what, *shard_seq)?,
        at: row.at.0,
        kind: word(what, &row.kind)?,
        step: row.step.map(|step| i16::from(step.0)),
        round: some(row.round)?,
        attempt: some(row.attempt)?,
        data: json(what, &row.data)?,
        actor: plain(&String::from(row.actor.clone())),
    })
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
        row: Row {
            seq: number(what, row.seq)?,
            at: Micros(row.at),
            kind: from_word(what, &row.kind)?,
            step: row.step.map(|step| number(what, step).map(StepIndex)).transpose()?,
            round: some(row.round)?,
            attempt: some(row.attempt)?,
            data: serde_json::from_str(&row.data).map_err(|error| refused(what, error))?,
            actor: Actor::try_from(row.actor).map_err(|actor| refused(what, format_args!("actor {actor:?}")))?,
        },
    })
}
