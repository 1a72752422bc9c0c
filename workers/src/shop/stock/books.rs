//! The stock in Postgres, behind Redis: batches as statements over arrays.
//!
//! Rows are locked in one order everywhere: the generation, reservations, then products by id.

mod entry;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saga_model::SagaId;
use sqlx::{PgPool, Postgres, Row, Transaction};
use uuid::Uuid;

use self::entry::{Entry, Keys};
use super::shelf::{read_lines, totals};
use super::sql::rows::{Reservation, State};
use super::{Line, StepKey, Want};
use crate::participant::EffectKey;
use crate::sql::{breaks_a_check, unless_there};
use crate::trouble::Trouble;

/// Tables `stock`, `reservation` and `stock_generation`.
#[derive(Debug, Clone)]
pub(super) struct Books {
    pool: PgPool,
}

/// What became of entering reservations that Redis admitted.
#[derive(Debug)]
pub(super) enum Booked {
    /// Each is on record: newly (none), or as it was before.
    Done(Vec<Option<Reservation>>),
    /// Redis admitted them in a generation that is over. Nothing was entered.
    Stale,
    /// Redis admitted more than there is: it is not to be believed. Nothing was entered.
    Disagrees(String),
}

/// Products come sorted by id and are found one by one through the index (see the session's settings), so their rows
/// are locked in that order. Locking them in a statement part of its own would be a join of two parts without an
/// index, whose cost is the square of the batch.
const CHANGE: &str = "\
UPDATE stock s SET reserved = s.reserved + d.reserved, sold = s.sold + d.sold \
FROM unnest($1::uuid[], $2::int8[], $3::int8[]) AS d(sku, reserved, sold) WHERE s.sku = d.sku";

const KNOWN: &str = "\
SELECT r.saga_id, r.step, r.round, r.status, r.lines, r.generation, r.held, r.released_in \
FROM unnest($1::uuid[], $2::text[], $3::int4[]) AS q(saga_id, step, round) \
JOIN reservation r ON r.saga_id = q.saga_id AND r.step = q.step AND r.round = q.round";

const SELL: &str = "\
UPDATE reservation r SET status = 1 FROM unnest($1::uuid[]) AS q(saga_id) \
WHERE r.saga_id = q.saga_id AND r.status = 0 RETURNING r.lines";

const RELEASE: &str = "\
WITH found AS MATERIALIZED ( \
    SELECT r.saga_id, r.step, r.round, r.status FROM unnest($1::uuid[], $2::text[]) AS q(saga_id, step) \
    JOIN reservation r ON r.saga_id = q.saga_id AND r.step = q.step \
    WHERE r.status <> 2 ORDER BY r.saga_id, r.step, r.round FOR UPDATE OF r) \
UPDATE reservation r SET status = 2, released_in = $3 FROM found \
WHERE r.saga_id = found.saga_id AND r.step = found.step AND r.round = found.round \
RETURNING found.status, r.lines";

const ROUNDS: &str = "\
SELECT r.saga_id, r.step, r.round, r.status, r.lines, r.generation, r.held, r.released_in \
FROM unnest($1::uuid[], $2::text[]) AS q(saga_id, step) \
JOIN reservation r ON r.saga_id = q.saga_id AND r.step = q.step";

/// How the numbers of products change: reserved, sold.
type Changes = BTreeMap<Uuid, (i64, i64)>;

impl Books {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Enters reservations that Redis admitted in `generation`.
    pub(super) async fn book(&self, generation: i64, wants: &[&Want]) -> Result<Booked, Trouble> {
        let entry = Entry::of(generation, wants);
        let mut transaction = self.pool.begin().await?;
        let entered = match unless_there(entry.as_new(&mut transaction).await)? {
            Some(entered) => entered,
            None => {
                transaction.rollback().await?;
                transaction = self.pool.begin().await?;
                entry.unless_there(&mut transaction).await?
            }
        };
        let Some(is_new) = entered else {
            transaction.rollback().await?;
            return Ok(Booked::Stale);
        };
        let new: Vec<&Want> = wants.iter().zip(&is_new).filter(|(_, is_new)| **is_new).map(|(want, _)| *want).collect();
        let totals = totals(new.iter().flat_map(|want| want.lines.iter()));
        let changes: Changes = totals.into_iter().map(|(sku, units)| (sku, (units, 0))).collect();
        match change(&mut transaction, &changes).await {
            Ok(()) => {}
            Err(Refused::ByCheck(detail)) => {
                transaction.rollback().await?;
                return Ok(Booked::Disagrees(detail));
            }
            Err(Refused::Trouble(trouble)) => return Err(trouble),
        }
        transaction.commit().await?;
        if new.len() == wants.len() {
            return Ok(Booked::Done(vec![None; wants.len()]));
        }
        let there = wants.iter().zip(is_new).filter(|(_, is_new)| !is_new).map(|(want, _)| &want.key);
        let mut known = self.known(there).await?;
        Ok(Booked::Done(wants.iter().map(|want| known.remove(&want.key)).collect()))
    }

    /// The reservations under these keys, as far as there are any.
    pub(super) async fn known<'a>(
        &self,
        keys: impl Iterator<Item = &'a EffectKey>,
    ) -> Result<HashMap<EffectKey, Reservation>, Trouble> {
        let keys = Keys::of(keys);
        if keys.sagas.is_empty() {
            return Ok(HashMap::new());
        }
        let query = sqlx::query(KNOWN).bind(&keys.sagas).bind(&keys.steps).bind(&keys.rounds);
        let rows = query.fetch_all(&self.pool).await?;
        let keyed = |row| reservation(&row).map(|reservation| (reservation.key.clone(), reservation));
        rows.into_iter().map(keyed).collect()
    }

    /// Turns reserved into sold.
    pub(super) async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        let mut sagas: Vec<Uuid> = sagas.iter().map(|saga| saga.uuid()).collect();
        sagas.sort_unstable();
        let mut transaction = self.pool.begin().await?;
        let mut changes = Changes::new();
        for row in sqlx::query(SELL).bind(&sagas).fetch_all(&mut *transaction).await? {
            add(&mut changes, &lines_of(row.try_get(0)?)?, -1, 1);
        }
        change(&mut transaction, &changes).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Releases all rounds of these steps. The generation in which that happened, and all rounds as they are then.
    pub(super) async fn release(&self, steps: &[StepKey]) -> Result<(i64, Vec<Reservation>), Trouble> {
        let sagas: Vec<Uuid> = steps.iter().map(|(saga, _)| saga.uuid()).collect();
        let names: Vec<&str> = steps.iter().map(|(_, step)| &**step).collect();
        let mut transaction = self.pool.begin().await?;
        let generation: i64 = sqlx::query_scalar("SELECT generation FROM stock_generation WHERE id = 1 FOR SHARE")
            .fetch_one(&mut *transaction)
            .await?;
        let mut changes = Changes::new();
        let released = sqlx::query(RELEASE).bind(&sagas).bind(&names).bind(generation);
        for row in released.fetch_all(&mut *transaction).await? {
            let lines = lines_of(row.try_get(1)?)?;
            match State::from_code(row.try_get(0)?)? {
                State::Reserved => add(&mut changes, &lines, -1, 0),
                State::Sold => add(&mut changes, &lines, 0, -1),
                State::Released => {}
            }
        }
        change(&mut transaction, &changes).await?;
        let rounds = sqlx::query(ROUNDS).bind(&sagas).bind(&names).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((generation, rounds.iter().map(reservation).collect::<Result<_, _>>()?))
    }
}

/// Why numbers could not be changed.
enum Refused {
    /// There would be more reserved and sold than on hand.
    ByCheck(String),
    Trouble(Trouble),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::ByCheck(detail) => Trouble::Poison(detail),
            Refused::Trouble(trouble) => trouble,
        }
    }
}

async fn change(transaction: &mut Transaction<'_, Postgres>, changes: &Changes) -> Result<(), Refused> {
    if changes.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(CHANGE)
        .bind(changes.keys().copied().collect::<Vec<_>>())
        .bind(changes.values().map(|(reserved, _)| *reserved).collect::<Vec<_>>())
        .bind(changes.values().map(|(_, sold)| *sold).collect::<Vec<_>>());
    match query.execute(&mut **transaction).await {
        Ok(done) if usize::try_from(done.rows_affected()).is_ok_and(|rows| rows == changes.len()) => Ok(()),
        Ok(_) => Err(Refused::ByCheck("a product is not in the stock".to_owned())),
        Err(error) if breaks_a_check(&error) => Err(Refused::ByCheck(error.to_string())),
        Err(error) => Err(Refused::Trouble(error.into())),
    }
}

fn add(changes: &mut Changes, lines: &[Line], reserved: i64, sold: i64) {
    for (sku, units) in totals(lines) {
        let change = changes.entry(sku).or_default();
        change.0 += reserved * units;
        change.1 += sold * units;
    }
}

fn lines_of(text: &str) -> Result<Vec<Line>, Trouble> {
    read_lines(text).ok_or_else(|| Trouble::Poison("a reservation holds lines that cannot be read".to_owned()))
}

fn reservation(row: &sqlx::postgres::PgRow) -> Result<Reservation, Trouble> {
    let round: i32 = row.try_get("round")?;
    let strange = |_| Trouble::Poison("a reservation holds a negative round".to_owned());
    Ok(Reservation {
        key: EffectKey {
            saga: SagaId::from(row.try_get::<Uuid, _>("saga_id")?),
            step: Arc::from(row.try_get::<&str, _>("step")?),
            round: u32::try_from(round).map_err(strange)?,
        },
        state: State::from_code(row.try_get("status")?)?,
        lines: lines_of(row.try_get("lines")?)?,
        generation: row.try_get("generation")?,
        held: row.try_get("held")?,
        released_in: row.try_get("released_in")?,
    })
}
