//! One transaction over the batch.

use sqlx::SqlitePool;
use uuid::Uuid;

use super::{Entry, EntryKind, among, stored_amount, stored_round};
use crate::shop::gateway::Refund;
use crate::sql::immediate;
use crate::trouble::Trouble;

const ADD: &str = "\
INSERT INTO payment_entry (saga_id, step, round, side, order_id, kind, amount, currency, at) \
VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";

const KIND: &str = "SELECT kind FROM payment_entry WHERE saga_id = $1 AND step = $2 AND round = $3 AND side = 0";

const REFUND: &str = "\
INSERT INTO payment_entry (saga_id, step, round, side, order_id, kind, amount, currency, at) \
SELECT saga_id, step, round, 1, order_id, 2, amount, currency, $3 FROM payment_entry \
WHERE saga_id = $1 AND step = $2 AND side = 0 AND kind = 0 ON CONFLICT DO NOTHING";

const CAPTURED: &str = "\
SELECT DISTINCT saga_id, step FROM payment_entry WHERE saga_id = $1 AND step = $2 AND side = 0 AND kind = 0";

pub(super) async fn add(pool: &SqlitePool, entries: &[Entry]) -> Result<Vec<EntryKind>, Trouble> {
    let mut kinds = Vec::with_capacity(entries.len());
    let mut transaction = immediate(pool).await?;
    for entry in entries {
        let (saga, step, round) = (entry.key.saga.uuid(), &*entry.key.step, stored_round(entry.key.round));
        let insert = sqlx::query(ADD)
            .bind(saga)
            .bind(step)
            .bind(round)
            .bind(entry.order)
            .bind(entry.kind as i16)
            .bind(stored_amount(entry.minor))
            .bind(entry.currency.as_str())
            .bind(entry.at.0);
        insert.execute(&mut *transaction).await?;
        let read = sqlx::query_scalar(KIND).bind(saga).bind(step).bind(round);
        kinds.push(EntryKind::from_code(read.fetch_one(&mut *transaction).await?)?);
    }
    transaction.commit().await?;
    Ok(kinds)
}

pub(super) async fn refund(pool: &SqlitePool, refunds: &[&Refund]) -> Result<Vec<bool>, Trouble> {
    let mut found: Vec<(Uuid, String)> = Vec::new();
    let mut transaction = immediate(pool).await?;
    for refund in refunds {
        let (saga, step) = (refund.saga.uuid(), &*refund.step);
        sqlx::query(REFUND).bind(saga).bind(step).bind(service::time::now().0).execute(&mut *transaction).await?;
        let captured = sqlx::query_as(CAPTURED).bind(saga).bind(step);
        found.extend(captured.fetch_optional(&mut *transaction).await?);
    }
    transaction.commit().await?;
    Ok(among(refunds, &found))
}
