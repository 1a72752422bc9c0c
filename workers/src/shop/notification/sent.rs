//! What was said: table `notification_sent`.

mod entity;

use std::collections::HashSet;
use std::sync::Arc;

use saga_model::SagaId;
use saga_model::micros::Micros;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};
use sqlx::{PgPool, Row as _, SqlitePool};
use uuid::Uuid;

use crate::participant::EffectKey;
use crate::sql::{Db, Pool, immediate, unless_there};
use crate::trouble::Trouble;

/// A notification, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    pub order: Uuid,
    pub outcome: String,
    pub at: Micros,
}

/// A row: what was said, or nothing, which keeps a late notification out.
#[derive(Debug, Clone)]
pub(super) struct Row {
    key: EffectKey,
    order: Uuid,
    outcome: Option<String>,
    at: Micros,
}

impl Row {
    pub(super) fn new(key: &EffectKey, order: Uuid, outcome: Option<&str>) -> Self {
        Self { key: key.clone(), order, outcome: outcome.map(str::to_owned), at: service::time::now() }
    }
}

/// The record of all notifications.
#[derive(Debug, Clone)]
pub struct SentNotifications {
    db: Db,
}

impl SentNotifications {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes rows, each unless there is one under its key; `new` if none is expected there. The keys under which nothing is
    /// said, now or later.
    pub(super) async fn add(&self, rows: &[Row], new: bool) -> Result<HashSet<EffectKey>, Trouble> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        match &self.db.pool {
            Pool::Postgres(pool) => add_to_postgres(pool, rows, new).await,
            Pool::Sqlite(pool) => add_to_sqlite(pool, rows).await,
        }
    }

    /// What was said in these sagas.
    pub(super) async fn of_sagas(&self, sagas: &[SagaId]) -> Result<HashSet<(SagaId, String)>, Trouble> {
        if sagas.is_empty() {
            return Ok(HashSet::new());
        }
        let ids = sagas.iter().map(|saga| saga.uuid());
        let rows = entity::Entity::find().filter(entity::Column::SagaId.is_in(ids)).all(self.db.connection()).await?;
        let said = |row: entity::Model| Some((SagaId::from(row.saga_id), row.outcome?));
        Ok(rows.into_iter().filter_map(said).collect())
    }

    /// Whether anything was said for each of these steps.
    pub(super) async fn said(&self, steps: &[(SagaId, Arc<str>)]) -> Result<Vec<bool>, Trouble> {
        let ids = steps.iter().map(|(saga, _)| saga.uuid());
        let rows = entity::Entity::find().filter(entity::Column::SagaId.is_in(ids)).all(self.db.connection()).await?;
        let said: HashSet<(Uuid, &str)> =
            rows.iter().filter(|row| row.outcome.is_some()).map(|row| (row.saga_id, row.step.as_str())).collect();
        Ok(steps.iter().map(|(saga, step)| said.contains(&(saga.uuid(), &**step))).collect())
    }

    /// The notifications about an order, oldest first.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn of_order(&self, order: Uuid) -> Result<Vec<Notified>, Trouble> {
        use entity::Column;
        // An order is its saga: the primary key finds it. Only a foreign order id is looked up by itself.
        let own = Condition::all().add(Column::SagaId.eq(order)).add(Column::OrderId.eq(order));
        let foreign = Condition::all()
            .add(Column::OrderId.eq(order))
            .add(Expr::col(Column::OrderId).ne(Expr::col(Column::SagaId)));
        let mut notified = Vec::new();
        for of_order in [own, foreign] {
            let rows = entity::Entity::find().filter(of_order).all(self.db.connection()).await?;
            let said = |row: entity::Model| Some(Notified { order, outcome: row.outcome?, at: Micros(row.at) });
            notified.extend(rows.into_iter().filter_map(said));
        }
        notified.sort_by_key(|notified| notified.at);
        Ok(notified)
    }
}

/// A round as it is stored. The wire has none above 2^31-1.
fn stored_round(round: u32) -> i32 {
    i32::try_from(round).unwrap_or(i32::MAX)
}

async fn add_to_postgres(pool: &PgPool, rows: &[Row], new: bool) -> Result<HashSet<EffectKey>, Trouble> {
    const ADD: &str = "\
        INSERT INTO notification_sent (saga_id, step, round, order_id, outcome, at) \
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::uuid[], $5::text[], $6::int8[]) \
            AS n(saga_id, step, round, order_id, outcome, at) \
        ORDER BY n.saga_id, n.step, n.round ON CONFLICT DO NOTHING";
    // What was not said yet, as far as one knows: entered without looking, which takes half as long. If it was, nothing
    // is entered.
    const SAY: &str = "\
        INSERT INTO notification_sent (saga_id, step, round, order_id, outcome, at) \
        SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::int4[]), unnest($4::uuid[]), unnest($5::text[]), \
            unnest($6::int8[])";
    const KEPT_OUT: &str = "\
        SELECT n.saga_id, n.step, n.round \
        FROM unnest($1::uuid[], $2::text[], $3::int4[]) AS q(saga_id, step, round) \
        JOIN notification_sent n ON n.saga_id = q.saga_id AND n.step = q.step AND n.round = q.round \
        WHERE n.outcome IS NULL";
    let sagas: Vec<Uuid> = rows.iter().map(|row| row.key.saga.uuid()).collect();
    let steps: Vec<&str> = rows.iter().map(|row| &*row.key.step).collect();
    let rounds: Vec<i32> = rows.iter().map(|row| stored_round(row.key.round)).collect();
    let bound = |sql| {
        sqlx::query(sql)
            .bind(&sagas)
            .bind(&steps)
            .bind(&rounds)
            .bind(rows.iter().map(|row| row.order).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.outcome.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.at.0).collect::<Vec<_>>())
    };
    if new && unless_there(bound(SAY).execute(pool).await)?.is_some() {
        return Ok(HashSet::new());
    }
    let added = bound(ADD).execute(pool).await?;
    let all_new = usize::try_from(added.rows_affected()).is_ok_and(|added| added == rows.len());
    if all_new && rows.iter().all(|row| row.outcome.is_some()) {
        return Ok(HashSet::new());
    }
    let mut kept_out: HashSet<(Uuid, String, i32)> = HashSet::new();
    for row in sqlx::query(KEPT_OUT).bind(&sagas).bind(&steps).bind(&rounds).fetch_all(pool).await? {
        kept_out.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    let is_out =
        |key: &&EffectKey| kept_out.contains(&(key.saga.uuid(), key.step.to_string(), stored_round(key.round)));
    Ok(rows.iter().map(|row| &row.key).filter(is_out).cloned().collect())
}

async fn add_to_sqlite(pool: &SqlitePool, rows: &[Row]) -> Result<HashSet<EffectKey>, Trouble> {
    const ADD: &str = "\
        INSERT INTO notification_sent (saga_id, step, round, order_id, outcome, at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    const OUTCOME: &str = "SELECT outcome FROM notification_sent WHERE saga_id = $1 AND step = $2 AND round = $3";
    let mut kept_out = HashSet::new();
    let mut transaction = immediate(pool).await?;
    for row in rows {
        let (saga, step, round) = (row.key.saga.uuid(), &*row.key.step, stored_round(row.key.round));
        let add = sqlx::query(ADD).bind(saga).bind(step).bind(round).bind(row.order);
        add.bind(row.outcome.as_deref()).bind(row.at.0).execute(&mut *transaction).await?;
        let read = sqlx::query_scalar::<_, Option<String>>(OUTCOME).bind(saga).bind(step).bind(round);
        if read.fetch_one(&mut *transaction).await?.is_none() {
            kept_out.insert(row.key.clone());
        }
    }
    transaction.commit().await?;
    Ok(kept_out)
}
