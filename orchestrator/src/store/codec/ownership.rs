//! Shards, definitions and idempotency keys.

use saga_model::definition::{Blueprint, Policy};
use saga_model::ids::ShardId;
use saga_model::{Definition, Micros, SagaId};
use uuid::Uuid;

use super::{json, number, plain, refused};
use crate::store::Result;
use crate::store::entity::{definition, idempotency, shard};
use crate::store::fence::Mark;
use crate::store::rows::{DefinitionId, KeyRecord, NewKey, ShardGrant, ShardState, Untaken};

/// The number of a shard in the type of its columns.
pub fn shard_id(shard: ShardId) -> Result<i16> {
    number("shard", shard.0)
}

/// What everybody sees of a shard.
pub fn shard_state(row: shard::Model) -> Result<ShardState> {
    let what = format_args!("shard {}", row.id);
    Ok(ShardState {
        shard: ShardId(number(what, row.id)?),
        owner: row.owner,
        epoch: number(what, row.epoch)?,
        lease_until: Micros(row.lease_until),
    })
}

/// What its new owner gets to know of a shard.
pub fn grant(
    shard: ShardId,
    [epoch, last_seq, published, reply_offset]: [i64; 4],
    live_from: Uuid,
    now: Micros,
) -> Result<ShardGrant> {
    let what = format_args!("shard {shard}");
    Ok(ShardGrant {
        shard,
        epoch: number(what, epoch)?,
        last_seq: number(what, last_seq)?,
        published: number(what, published)?,
        reply_offset,
        live_from: SagaId::from(live_from),
        now,
    })
}

/// The marks of a shard's row.
pub fn mark(row: &shard::Model) -> Result<Mark> {
    let what = format_args!("shard {}", row.id);
    Ok(Mark {
        shard: ShardId(number(what, row.id)?),
        epoch: number(what, row.epoch)?,
        last_seq: number(what, row.last_seq)?,
        live_from: SagaId::from(row.live_from),
    })
}

/// An epoch in the type of its column.
pub fn epoch(epoch: u64) -> Result<i64> {
    number("epoch", epoch)
}

/// The text of what has not been taken.
pub fn untaken_text(untaken: &Untaken) -> Result<String> {
    json("untaken commands", untaken, 2 + 64 * untaken.len())
}

/// What has not been taken.
pub fn untaken(text: &str) -> Result<Untaken> {
    serde_json::from_str(text).map_err(|error| refused("untaken commands", error))
}

/// A definition without its id.
pub struct DefinitionRow {
    pub name: String,
    pub version: i32,
    pub digest: String,
    pub blueprint: String,
    pub policy: String,
}

/// The columns of a definition.
pub fn definition_row(definition: &Definition) -> Result<DefinitionRow> {
    let what = format_args!("definition {} {}", definition.name(), definition.version());
    Ok(DefinitionRow {
        name: definition.name().to_owned(),
        version: number(what, definition.version())?,
        digest: definition.blueprint().digest(),
        blueprint: json(what, definition.blueprint(), 0)?,
        policy: json(what, definition.policy(), 0)?,
    })
}

/// The definition of a row.
pub fn definition(row: &definition::Model) -> Result<(DefinitionId, Definition)> {
    let what = format_args!("definition {} {}", row.name, row.version);
    let blueprint: Blueprint = serde_json::from_str(&row.blueprint).map_err(|error| refused(what, error))?;
    let policy: Policy = serde_json::from_str(&row.policy).map_err(|error| refused(what, error))?;
    let definition = Definition::new(blueprint, policy).map_err(|error| refused(what, error))?;
    Ok((DefinitionId(row.id), definition))
}

/// The row of a key.
pub fn key_row(key: &NewKey) -> idempotency::Model {
    idempotency::Model {
        caller: plain(&key.key.caller),
        path: plain(&key.key.path),
        key: plain(&key.key.key),
        fingerprint: plain(&key.record.fingerprint),
        saga_id: key.record.saga.uuid(),
        at: key.at.0,
    }
}

/// What a key stands for.
pub fn key_record(row: idempotency::Model) -> KeyRecord {
    KeyRecord { saga: SagaId::from(row.saga_id), fingerprint: row.fingerprint }
}
