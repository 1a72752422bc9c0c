//! Leases. One process, so one clock: the machine's.

use std::time::{SystemTime, UNIX_EPOCH};

use saga_model::Micros;
use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, DatabaseConnection, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, UpdateMany,
};

use crate::store::codec::ownership as codec;
use crate::store::entity::instance::{self, Entity as Instances};
use crate::store::entity::shard::{Column, Entity as Shards};
use crate::store::rows::ShardGrant;
use crate::store::sql::error;
use crate::store::sql::transaction::{End, write};
use crate::store::{InstanceId, Membership, Result};

fn now() -> Micros {
    #[expect(clippy::disallowed_methods, reason = "this is the database's clock: SQLite has none of its own")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Shows that an instance is alive, and reads who else is.
pub async fn heartbeat(db: &DatabaseConnection, id: &InstanceId, lease: Millis) -> Result<Membership> {
    let id = id.0.clone();
    write(db, move |transaction| {
        Box::pin(async move {
            let now = now();
            let until = now.plus(lease.micros());
            let own = instance::Model { id: id.clone(), alive_until: until.0 };
            Instances::insert(own.into_active_model())
                .on_conflict(
                    OnConflict::column(instance::Column::Id).update_column(instance::Column::AliveUntil).to_owned(),
                )
                .exec_without_returning(transaction)
                .await
                .map_err(error::orm)?;
            let gone = Instances::delete_many().filter(instance::Column::AliveUntil.lte(now.0));
            gone.exec(transaction).await.map_err(error::orm)?;
            let renew = Shards::update_many().col_expr(Column::LeaseUntil, Expr::value(until.0));
            renew.filter(Column::Owner.eq(id)).exec(transaction).await.map_err(error::orm)?;
            let alive =
                Instances::find().order_by_asc(instance::Column::Id).all(transaction).await.map_err(error::orm)?;
            let shards = Shards::find().order_by_asc(Column::Id).all(transaction).await.map_err(error::orm)?;
            Ok(End::Commit(Membership {
                now,
                instances: alive.into_iter().map(|row| InstanceId(row.id)).collect(),
                shards: shards.into_iter().map(codec::shard_state).collect::<Result<_>>()?,
            }))
        })
    })
    .await
}

/// Frees all shards: of those who had them, none is alive.
pub async fn forget_instances(db: &DatabaseConnection) -> Result<()> {
    write(db, move |transaction| {
        Box::pin(async move {
            Instances::delete_many().exec(transaction).await.map_err(error::orm)?;
            free().exec(transaction).await.map_err(error::orm)?;
            Ok(End::Commit(()))
        })
    })
    .await
}

/// Takes a shard unless a live instance owns it.
pub async fn take_shard(
    db: &DatabaseConnection,
    shard: ShardId,
    id: &InstanceId,
    lease: Millis,
) -> Result<Option<ShardGrant>> {
    let id = id.0.clone();
    let number = codec::shard_id(shard)?;
    write(db, move |transaction| {
        Box::pin(async move {
            let now = now();
            let free = Condition::any()
                .add(Column::Owner.is_null())
                .add(Column::Owner.eq(id.as_str()))
                .add(Column::LeaseUntil.lte(now.0));
            let taken = Shards::update_many()
                .col_expr(Column::Owner, Expr::value(id))
                .col_expr(Column::Epoch, Expr::col(Column::Epoch).add(1))
                .col_expr(Column::LeaseUntil, Expr::value(now.plus(lease.micros()).0))
                .filter(Column::Id.eq(number))
                .filter(free)
                .exec(transaction)
                .await
                .map_err(error::orm)?;
            if taken.rows_affected == 0 {
                return Ok(End::RollBack(None));
            }
            let Some(row) = Shards::find_by_id(number).one(transaction).await.map_err(error::orm)? else {
                return Ok(End::RollBack(None));
            };
            let marks = [row.epoch, row.last_seq, row.published, row.reply_offset];
            codec::grant(shard, marks, row.live_from, now).map(|grant| End::Commit(Some(grant)))
        })
    })
    .await
}

fn free() -> UpdateMany<Shards> {
    Shards::update_many()
        .col_expr(Column::Owner, Expr::value(None::<String>))
        .col_expr(Column::LeaseUntil, Expr::value(0))
}

/// Gives a shard up, if the epoch is still its own.
pub async fn release_shard(db: &DatabaseConnection, shard: ShardId, epoch: u64) -> Result<()> {
    let release = free().filter(Column::Id.eq(codec::shard_id(shard)?)).filter(Column::Epoch.eq(codec::epoch(epoch)?));
    release.exec(db).await.map(drop).map_err(error::orm)
}

/// Forgets an instance and frees its shards.
pub async fn leave(db: &DatabaseConnection, id: &InstanceId) -> Result<()> {
    let id = id.0.clone();
    write(db, move |transaction| {
        Box::pin(async move {
            free().filter(Column::Owner.eq(id.as_str())).exec(transaction).await.map_err(error::orm)?;
            Instances::delete_by_id(id).exec(transaction).await.map_err(error::orm)?;
            Ok(End::Commit(()))
        })
    })
    .await
}
