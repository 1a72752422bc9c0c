//! The one write of the engine, in one transaction on the one connection that writes.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, IntoActiveModel,
    Iterable, QueryFilter,
};
use uuid::Uuid;

use crate::store::codec::batch::{BatchRows, MarksRow};
use crate::store::codec::operators::{AnswerRow, request_status};
use crate::store::codec::saga::Change;
use crate::store::entity::{admin_request, dead_letter, history, idempotency, saga, shard};
use crate::store::fence::{self, Mark};
use crate::store::rows::{Batch, IdempotencyKey, RequestStatus};
use crate::store::sql::error;
use crate::store::sql::transaction::{End, write};
use crate::store::{Committed, Result, StoreError};

/// How many rows one INSERT takes: with at most 19 columns, within the 32,766 arguments that SQLite allows.
const ROWS: usize = 500;

/// Stores a batch.
pub async fn commit(db: &DatabaseConnection, batch: &Batch) -> Result<Committed> {
    let expected = fence::expected(batch)?;
    let rows = BatchRows::of(batch)?;
    let batch_keys = Batch { keys: batch.keys.clone(), answers: batch.answers.clone(), ..Batch::default() };
    write(db, move |transaction| {
        Box::pin(async move {
            if let Some(lost) = fence::judge(&expected, &stored_marks(transaction).await?)? {
                return Ok(End::RollBack(lost));
            }
            for marks in rows.shards {
                write_marks(transaction, marks).await?;
            }
            if let Some(withdrawn) = fence::withdrawn(&batch_keys, answer(transaction, rows.answers).await?) {
                return Ok(End::RollBack(withdrawn));
            }
            if let Some(taken) = fence::taken(&batch_keys, take_keys(transaction, rows.keys).await?) {
                return Ok(End::RollBack(taken));
            }
            insert::<saga::Entity, _>(transaction, rows.inserts).await?;
            for row in rows.updates {
                update(transaction, row).await?;
            }
            flag(transaction, rows.lingering).await?;
            insert::<history::Entity, _>(transaction, rows.history).await?;
            put_dead_letters(transaction, rows.dead_letters).await?;
            Ok(End::Commit(Committed::All))
        })
    })
    .await
}

async fn stored_marks(transaction: &DatabaseTransaction) -> Result<Vec<Mark>> {
    let rows = shard::Entity::find().all(transaction).await.map_err(error::orm)?;
    rows.into_iter().map(|row| crate::store::codec::ownership::mark(&row)).collect()
}

async fn write_marks(transaction: &DatabaseTransaction, marks: MarksRow) -> Result<()> {
    use shard::Column;
    let update = shard::Entity::update_many()
        .col_expr(Column::LastSeq, Expr::value(marks.last_seq))
        .col_expr(Column::Published, Expr::value(marks.published))
        .col_expr(Column::ReplyOffset, Expr::value(marks.reply_offset))
        .col_expr(Column::Untaken, Expr::value(marks.untaken))
        .col_expr(Column::LiveFrom, Expr::value(marks.live_from))
        .filter(Column::Id.eq(marks.id))
        .filter(Column::Epoch.eq(marks.epoch));
    update.exec(transaction).await.map(drop).map_err(error::orm)
}

/// Answers requests; returns those that were pending.
async fn answer(transaction: &DatabaseTransaction, answers: Vec<AnswerRow>) -> Result<Vec<Uuid>> {
    use admin_request::Column;
    let mut answered = Vec::with_capacity(answers.len());
    for answer in answers {
        let update = admin_request::Entity::update_many()
            .col_expr(Column::Status, Expr::value(answer.status))
            .col_expr(Column::Code, Expr::value(answer.code))
            .col_expr(Column::Detail, Expr::value(answer.detail))
            .filter(Column::Id.eq(answer.request))
            .filter(Column::Status.eq(request_status(RequestStatus::Pending)));
        if update.exec(transaction).await.map_err(error::orm)?.rows_affected == 1 {
            answered.push(answer.request);
        }
    }
    Ok(answered)
}

/// Takes keys; returns those that were free.
async fn take_keys(transaction: &DatabaseTransaction, keys: Vec<idempotency::Model>) -> Result<Vec<IdempotencyKey>> {
    let mut taken = Vec::with_capacity(keys.len());
    for row in keys {
        let key = IdempotencyKey { caller: row.caller.clone(), path: row.path.clone(), key: row.key.clone() };
        let insert = idempotency::Entity::insert(row.into_active_model())
            .on_conflict(OnConflict::columns(idempotency::PrimaryKey::iter()).do_nothing().to_owned());
        if insert.exec_without_returning(transaction).await.map_err(error::orm)? == 1 {
            taken.push(key);
        }
    }
    Ok(taken)
}

async fn insert<E, A>(transaction: &DatabaseTransaction, rows: Vec<impl Into<E::Model>>) -> Result<()>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<A>,
    A: ActiveModelTrait<Entity = E> + Send,
{
    let mut rows = rows.into_iter().map(|row| row.into().into_active_model()).peekable();
    while rows.peek().is_some() {
        let insert = E::insert_many(rows.by_ref().take(ROWS).collect::<Vec<A>>());
        insert.exec_without_returning(transaction).await.map_err(error::orm)?;
    }
    Ok(())
}

/// Changes a saga: the columns that a transition changes.
async fn update(transaction: &DatabaseTransaction, row: Change) -> Result<()> {
    let change = saga::ActiveModel {
        state: ActiveValue::Set(row.state),
        status: ActiveValue::Set(row.status.to_owned()),
        order_status: ActiveValue::Set(row.order_status.to_owned()),
        active: ActiveValue::Set(row.active),
        held: ActiveValue::Set(row.held),
        step: ActiveValue::Set(row.step),
        error_code: ActiveValue::Set(row.error_code),
        revision: ActiveValue::Set(row.revision),
        updated_at: ActiveValue::Set(row.updated_at),
        wake_at: ActiveValue::Set(row.wake_at),
        lingering: ActiveValue::Set(row.lingering),
        ..Default::default()
    };
    let update = saga::Entity::update_many().set(change).filter(saga::Column::Id.eq(row.id));
    match update.exec(transaction).await.map_err(error::orm)?.rows_affected {
        1 => Ok(()),
        _ => Err(StoreError::Refused(format!("saga {} is to be changed and is not stored", row.id))),
    }
}

/// Flags sagas as lingering.
async fn flag(transaction: &DatabaseTransaction, sagas: Vec<Uuid>) -> Result<()> {
    use saga::Column;
    for id in sagas {
        let update =
            saga::Entity::update_many().col_expr(Column::Lingering, Expr::value(true)).filter(Column::Id.eq(id));
        update.exec(transaction).await.map_err(error::orm)?;
    }
    Ok(())
}

/// Stores dead letters, each (topic, partition, offset) once.
async fn put_dead_letters(transaction: &DatabaseTransaction, letters: Vec<dead_letter::Model>) -> Result<()> {
    use dead_letter::Column;
    for row in letters {
        let insert = dead_letter::Entity::insert(row.into_active_model()).on_conflict(
            OnConflict::columns([Column::Topic, Column::Partition, Column::Offset]).do_nothing().to_owned(),
        );
        insert.exec_without_returning(transaction).await.map_err(error::orm)?;
    }
    Ok(())
}
