//! Reads of the engine and of the outside.

use saga_model::SagaId;
use saga_model::ids::{SLOTS, ShardCount, ShardId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use uuid::Uuid;

use super::{any_of, error, rows};
use crate::store::codec::{history, ownership, saga};
use crate::store::rows::{HistoryRow, IdempotencyKey, KeyRecord, LivePage, Page, SagaRecord, Untaken};
use crate::store::{Result, StoreError, entity};

/// How many shards the database was set up with.
pub async fn shard_count(db: &DatabaseConnection) -> Result<ShardCount> {
    let count = entity::shard::Entity::find().count(db).await.map_err(error::orm)?;
    let count = u16::try_from(count).ok().and_then(ShardCount::new);
    count.ok_or_else(|| StoreError::Refused("the database has no shards: run `saga migrate`".to_owned()))
}

/// How many sagas one statement looks at: of those that were started lately, most have ended or are of other shards. It
/// must end in time however many they are.
const WINDOW: u64 = 50_000;

/// A page of the live sagas of a shard. Each kind is found by an index of its own; asked for at once,
/// both would be looked for among all sagas.
pub async fn live_sagas(
    db: &DatabaseConnection,
    shards: ShardCount,
    shard: ShardId,
    after: Option<SagaId>,
    limit: usize,
) -> Result<LivePage> {
    use entity::saga::{Column, Entity};
    let row = entity::shard::Entity::find_by_id(ownership::shard_id(shard)?).one(db).await.map_err(error::orm)?;
    let Some(row) = row else { return Ok(LivePage { sagas: Vec::new(), next: None }) };
    let count = i16::try_from(shards.get()).unwrap_or(i16::MAX);
    let slots: Vec<i16> = (0..SLOTS as i16).filter(|slot| slot % count == shard.0 as i16).collect();
    // The bare columns, as the partial index has them: a bound `true` would not be seen to match.
    let lingering = Expr::col((Entity, Column::Lingering));
    let kinds = [lingering.clone(), lingering.not().and(Column::Id.gte(row.live_from))];
    let after = after.map(SagaId::uuid);
    let until = end_of_window(db, row.live_from, after).await?;
    let mut live = Vec::new();
    for kind in kinds {
        let find = within(Entity::find().filter(kind), after, until);
        let find = find.filter(Expr::col((Entity, Column::Active))).filter(any_of(db, Column::Slot, slots.clone()));
        live.extend(find.order_by_asc(Column::Id).limit(rows(limit as u64)).all(db).await.map_err(error::orm)?);
    }
    live.sort_unstable_by_key(|row| row.id);
    live.truncate(limit);
    let last = live.last().filter(|_| live.len() == limit).map(|row| row.id);
    Ok(LivePage {
        next: last.or(until).map(SagaId::from),
        sagas: live.into_iter().map(saga::live).collect::<Result<_>>()?,
    })
}

/// The id up to which a statement may look; none if it may look at all that follow.
async fn end_of_window(db: &DatabaseConnection, live_from: Uuid, after: Option<Uuid>) -> Result<Option<Uuid>> {
    use entity::saga::{Column, Entity};
    let young = Entity::find().select_only().column(Column::Id).filter(Column::Id.gte(live_from));
    let last = within(young, after, None).order_by_asc(Column::Id).offset(WINDOW - 1).limit(1);
    last.into_tuple().one(db).await.map_err(error::orm)
}

fn within<E: EntityTrait>(find: Select<E>, after: Option<Uuid>, until: Option<Uuid>) -> Select<E> {
    use entity::saga::Column;
    let find = after.into_iter().fold(find, |find, after| find.filter(Column::Id.gt(after)));
    until.into_iter().fold(find, |find, until| find.filter(Column::Id.lte(until)))
}

/// History rows of a shard after a number.
pub async fn rows_after(db: &DatabaseConnection, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
    use entity::history::{Column, Entity};
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    let rows = Entity::find()
        .filter(Column::Shard.eq(ownership::shard_id(shard)?))
        .filter(Column::ShardSeq.gt(after))
        .order_by_asc(Column::ShardSeq)
        .limit(rows(limit as u64))
        .all(db)
        .await
        .map_err(error::orm)?;
    rows.into_iter().map(history::record).collect()
}

/// The sagas of these ids.
pub async fn sagas(db: &DatabaseConnection, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
    use entity::saga::{Column, Entity};
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = ids.iter().map(|id| id.uuid()).collect();
    let rows = Entity::find().filter(any_of(db, Column::Id, ids)).all(db).await.map_err(error::orm)?;
    rows.into_iter().map(saga::record).collect()
}

/// All sagas, page by page in order of id, which is the order in which they were started.
pub async fn page_of_sagas(db: &DatabaseConnection, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaRecord>> {
    use entity::saga::{Column, Entity};
    let mut find = Entity::find();
    if let Some(after) = after {
        find = find.filter(Column::Id.gt(after.uuid()));
    }
    let rows = find.order_by_asc(Column::Id).limit(rows(limit as u64)).all(db).await.map_err(error::orm)?;
    rows.into_iter().map(saga::record).collect()
}

/// The history of a saga.
pub async fn history(db: &DatabaseConnection, saga: SagaId) -> Result<Vec<HistoryRow>> {
    use entity::history::{Column, Entity};
    let find = Entity::find().filter(Column::SagaId.eq(saga.uuid())).order_by_asc(Column::Seq);
    let rows = find.all(db).await.map_err(error::orm)?;
    rows.into_iter().map(history::record).collect()
}

/// The orders of a user, newest first.
pub async fn orders_of(db: &DatabaseConnection, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
    use entity::saga::{Column, Entity};
    let find = Entity::find().filter(Column::UserId.eq(user));
    let total = find.clone().count(db).await.map_err(error::orm)?;
    // A page past the end, however far: the numbers of SQL are signed.
    if offset >= total {
        return Ok(Page { items: Vec::new(), total });
    }
    let page = find.order_by_desc(Column::Id).offset(offset).limit(rows(limit));
    let rows = page.all(db).await.map_err(error::orm)?;
    Ok(Page { items: rows.into_iter().map(saga::record).collect::<Result<_>>()?, total })
}

/// The saga that a key stands for.
pub async fn key(db: &DatabaseConnection, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
    let find = entity::idempotency::Entity::find_by_id((key.caller.clone(), key.path.clone(), key.key.clone()));
    let row = find.one(db).await.map_err(error::orm)?;
    Ok(row.map(ownership::key_record))
}

/// What the owner of a shard last said of commands that no worker has taken.
pub async fn untaken(db: &DatabaseConnection, shard: ShardId) -> Result<Untaken> {
    let find = entity::shard::Entity::find_by_id(ownership::shard_id(shard)?);
    match find.one(db).await.map_err(error::orm)? {
        Some(row) => ownership::untaken(&row.untaken),
        None => Ok(Untaken::new()),
    }
}

/// Whether the database answers.
pub async fn ping(db: &DatabaseConnection) -> Result<()> {
    db.execute_unprepared("SELECT 1").await.map(drop).map_err(error::orm)
}
