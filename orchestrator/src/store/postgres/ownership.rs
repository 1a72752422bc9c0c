//! Leases, by the database's clock: instances need not agree on the time.
//!
//! Whoever locks several shards locks them in order of their number, commits included: otherwise a heartbeat and a
//! commit of the same instance would wait for each other in a circle.

use saga_model::Micros;
use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use sea_orm::prelude::Uuid;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder};

use super::statements;
use crate::store::codec::ownership as codec;
use crate::store::entity::{instance, shard};
use crate::store::rows::ShardGrant;
use crate::store::sql::error;
use crate::store::{InstanceId, Membership, Result};

/// Shows that an instance is alive, and reads who else is.
pub async fn heartbeat(db: &DatabaseConnection, id: &InstanceId, lease: Millis) -> Result<Membership> {
    let pool = db.get_postgres_connection_pool();
    let now: i64 = sqlx::query_scalar(statements::HEARTBEAT)
        .bind(&id.0)
        .bind(lease.micros())
        .fetch_one(pool)
        .await
        .map_err(error::statement)?;
    let alive = instance::Entity::find().filter(instance::Column::AliveUntil.gt(now)).all(db);
    let mut instances: Vec<InstanceId> =
        alive.await.map_err(error::orm)?.into_iter().map(|row| InstanceId(row.id)).collect();
    // Here and not in SQL, where the order of texts is the database's own.
    instances.sort();
    let shards = shard::Entity::find().order_by_asc(shard::Column::Id).all(db).await.map_err(error::orm)?;
    let shards = shards.into_iter().map(codec::shard_state).collect::<Result<_>>()?;
    Ok(Membership { now: Micros(now), instances, shards })
}

/// Takes a shard unless a live instance owns it.
pub async fn take_shard(
    db: &DatabaseConnection,
    shard: ShardId,
    id: &InstanceId,
    lease: Millis,
) -> Result<Option<ShardGrant>> {
    let taken: Option<(i64, i64, i64, i64, Uuid, i64)> = sqlx::query_as(statements::TAKE_SHARD)
        .bind(codec::shard_id(shard)?)
        .bind(&id.0)
        .bind(lease.micros())
        .fetch_optional(db.get_postgres_connection_pool())
        .await
        .map_err(error::statement)?;
    taken
        .map(|(epoch, last_seq, published, reply_offset, live_from, now)| {
            codec::grant(shard, [epoch, last_seq, published, reply_offset], live_from, Micros(now))
        })
        .transpose()
}

/// Gives a shard up, if the epoch is still its own.
pub async fn release_shard(db: &DatabaseConnection, shard: ShardId, epoch: u64) -> Result<()> {
    let released = sqlx::query(statements::RELEASE_SHARD)
        .bind(codec::shard_id(shard)?)
        .bind(codec::epoch(epoch)?)
        .execute(db.get_postgres_connection_pool());
    released.await.map(drop).map_err(error::statement)
}

/// Forgets an instance and frees its shards.
pub async fn leave(db: &DatabaseConnection, id: &InstanceId) -> Result<()> {
    let left = sqlx::query(statements::LEAVE).bind(&id.0).execute(db.get_postgres_connection_pool());
    left.await.map(drop).map_err(error::statement)
}
