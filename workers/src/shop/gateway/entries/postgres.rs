//! One statement over the batch.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::{Entry, EntryKind, among, stored_amount, stored_round};
use crate::shop::gateway::Refund;
use crate::sql::unless_there;
use crate::trouble::Trouble;

/// Entries that are not there yet, as far as one knows: made without looking, which takes half as long. If one is, none is
/// made.
const ADD_NEW: &str = "\
INSERT INTO payment_entry (saga_id, step, round, side, order_id, kind, amount, currency, at) \
SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::int4[]), 0, unnest($4::uuid[]), unnest($5::int2[]), \
    unnest($6::int8[]), unnest($7::text[]), unnest($8::int8[])";

const ADD: &str = "\
INSERT INTO payment_entry (saga_id, step, round, side, order_id, kind, amount, currency, at) \
SELECT e.saga_id, e.step, e.round, 0, e.order_id, e.kind, e.amount, e.currency, e.at \
FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::uuid[], $5::int2[], $6::int8[], $7::text[], $8::int8[]) \
    AS e(saga_id, step, round, order_id, kind, amount, currency, at) \
ORDER BY e.saga_id, e.step, e.round \
ON CONFLICT DO NOTHING RETURNING saga_id, step, round";

const KINDS: &str = "\
SELECT e.saga_id, e.step, e.round, e.kind FROM unnest($1::uuid[], $2::text[], $3::int4[]) AS q(saga_id, step, round) \
JOIN payment_entry e ON e.saga_id = q.saga_id AND e.step = q.step AND e.round = q.round AND e.side = 0";

const REFUND: &str = "\
WITH captured AS ( \
    SELECT e.* FROM unnest($1::uuid[], $2::text[]) AS q(saga_id, step) \
    JOIN payment_entry e ON e.saga_id = q.saga_id AND e.step = q.step AND e.side = 0 AND e.kind = 0), \
refunded AS ( \
    INSERT INTO payment_entry (saga_id, step, round, side, order_id, kind, amount, currency, at) \
    SELECT saga_id, step, round, 1, order_id, 2, amount, currency, $3 FROM captured ORDER BY saga_id, step, round \
    ON CONFLICT DO NOTHING) \
SELECT DISTINCT saga_id, step FROM captured";

pub(super) async fn add(pool: &PgPool, entries: &[Entry], new: bool) -> Result<Vec<EntryKind>, Trouble> {
    let sagas: Vec<Uuid> = entries.iter().map(|entry| entry.key.saga.uuid()).collect();
    let steps: Vec<&str> = entries.iter().map(|entry| &*entry.key.step).collect();
    let rounds: Vec<i32> = entries.iter().map(|entry| stored_round(entry.key.round)).collect();
    let bound = |sql| {
        sqlx::query(sql)
            .bind(&sagas)
            .bind(&steps)
            .bind(&rounds)
            .bind(entries.iter().map(|entry| entry.order).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.kind as i16).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| stored_amount(entry.minor)).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.currency.as_str()).collect::<Vec<_>>())
            .bind(entries.iter().map(|entry| entry.at.0).collect::<Vec<_>>())
    };
    if new && unless_there(bound(ADD_NEW).execute(pool).await)?.is_some() {
        return Ok(entries.iter().map(|entry| entry.kind).collect());
    }
    let added = bound(ADD).fetch_all(pool).await?;
    if added.len() == entries.len() {
        return Ok(entries.iter().map(|entry| entry.kind).collect());
    }
    // Some were there before, of this kind or the other.
    let mut known: HashMap<(Uuid, String, i32), EntryKind> = HashMap::new();
    for row in sqlx::query(KINDS).bind(&sagas).bind(&steps).bind(&rounds).fetch_all(pool).await? {
        let key = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        known.insert(key, EntryKind::from_code(row.try_get(3)?)?);
    }
    let lost = |entry: &Entry| Trouble::Poison(format!("the entry of {} vanished", entry.key));
    let kind = |entry: &Entry| {
        let key = (entry.key.saga.uuid(), entry.key.step.to_string(), stored_round(entry.key.round));
        known.get(&key).copied().ok_or_else(|| lost(entry))
    };
    entries.iter().map(kind).collect()
}

pub(super) async fn refund(pool: &PgPool, refunds: &[&Refund]) -> Result<Vec<bool>, Trouble> {
    let found: Vec<(Uuid, String)> = sqlx::query_as(REFUND)
        .bind(refunds.iter().map(|refund| refund.saga.uuid()).collect::<Vec<_>>())
        .bind(refunds.iter().map(|refund| &*refund.step).collect::<Vec<_>>())
        .bind(service::time::now().0)
        .fetch_all(pool)
        .await?;
    Ok(among(refunds, &found))
}
