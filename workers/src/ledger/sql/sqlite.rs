//! One transaction over the batch; each row is read, judged and stored.

use std::time::Duration;

use saga_model::SagaId;
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{Row, Stored, row_of, stored_round};
use crate::ledger::{ClaimId, Judgement, Question, Record, judge};
use crate::spans;
use crate::sql::immediate;
use crate::trouble::Trouble;

pub(super) async fn claim(
    pool: &SqlitePool,
    claim: ClaimId,
    lease: Duration,
    questions: &[Question],
) -> Result<Vec<Judgement>, Trouble> {
    let now = service::time::now().0;
    let lease_until = spans::after(now, lease);
    let mut judgements = Vec::with_capacity(questions.len());
    let mut transaction = immediate(pool).await?;
    for question in questions {
        let key = &question.key;
        let row = load(&mut transaction, key.saga, &key.step).await?;
        let judged = judge(row.as_ref(), question, claim.0, now, lease_until);
        if let Some(row) = &judged.row {
            store(&mut transaction, key.saga, &key.step, row).await?;
        }
        judgements.push(judged.judgement);
    }
    transaction.commit().await?;
    Ok(judgements)
}

pub(super) async fn record(pool: &SqlitePool, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble> {
    let mut held = Vec::with_capacity(records.len());
    let mut transaction = immediate(pool).await?;
    for record in records {
        let row = load(&mut transaction, record.saga, &record.step).await?;
        let ended = row.and_then(|row| row.ended(claim.0, &record.ending, record.trace.clone()));
        if let Some(row) = &ended {
            store(&mut transaction, record.saga, &record.step, row).await?;
        }
        held.push(ended.is_some());
    }
    transaction.commit().await?;
    Ok(held)
}

async fn load(transaction: &mut Transaction<'_, Sqlite>, saga: SagaId, step: &str) -> Result<Option<Row>, Trouble> {
    const LOAD: &str = "SELECT round, status, unsettled, claim, lease_until, undo_round, undone, output, error_code, \
        error_message, trace FROM worker_ledger WHERE saga_id = $1 AND step = $2";
    let query = sqlx::query_as::<_, Stored>(LOAD).bind(saga.uuid()).bind(step);
    query.fetch_optional(&mut **transaction).await?.map(row_of).transpose()
}

async fn store(transaction: &mut Transaction<'_, Sqlite>, saga: SagaId, step: &str, row: &Row) -> Result<(), Trouble> {
    const STORE: &str = "INSERT INTO worker_ledger (saga_id, step, round, status, unsettled, claim, lease_until, \
        undo_round, undone, output, error_code, error_message, trace) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
        ON CONFLICT (saga_id, step) DO UPDATE SET round = excluded.round, status = excluded.status, \
        unsettled = excluded.unsettled, claim = excluded.claim, lease_until = excluded.lease_until, \
        undo_round = excluded.undo_round, undone = excluded.undone, output = excluded.output, \
        error_code = excluded.error_code, error_message = excluded.error_message, trace = excluded.trace";
    let error = row.error.as_ref();
    let query = sqlx::query(STORE)
        .bind(saga.uuid())
        .bind(step)
        .bind(stored_round(row.round))
        .bind(row.status as i16)
        .bind(row.unsettled)
        .bind(row.claim)
        .bind(row.lease_until)
        .bind(stored_round(row.undo_round))
        .bind(row.undone)
        .bind(row.output.as_ref().map(|output| output.get()))
        .bind(error.map(|error| error.code.as_str()))
        .bind(error.map(|error| error.message.as_str()))
        .bind(row.trace.as_deref());
    query.execute(&mut **transaction).await?;
    Ok(())
}
