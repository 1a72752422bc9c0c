//! Entering reservations that Redis admitted.

use std::collections::HashSet;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, Row, Transaction};
use uuid::Uuid;

use crate::participant::EffectKey;
use crate::shop::stock::Want;
use crate::shop::stock::shelf::write_lines;
use crate::shop::stock::sql::rows::stored_round;

/// Reservations that are not on record yet, as far as one knows: entered without looking, which takes half as long. If
/// one is, the transaction is lost.
const BOOK_NEW: &str = "\
WITH gate AS MATERIALIZED (SELECT generation FROM stock_generation WHERE id = 1 FOR SHARE), \
made AS ( \
    INSERT INTO reservation (saga_id, step, round, status, lines, generation, held, at) \
    SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::int4[]), 0, unnest($4::text[]), $5, true, $6 \
    WHERE EXISTS (SELECT 1 FROM gate WHERE generation = $5)) \
SELECT generation FROM gate";

const BOOK: &str = "\
WITH gate AS MATERIALIZED (SELECT generation FROM stock_generation WHERE id = 1 FOR SHARE), \
made AS ( \
    INSERT INTO reservation (saga_id, step, round, status, lines, generation, held, at) \
    SELECT q.saga_id, q.step, q.round, 0, q.lines, $5, true, $6 \
    FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::text[]) AS q(saga_id, step, round, lines) \
    WHERE EXISTS (SELECT 1 FROM gate WHERE generation = $5) \
    ORDER BY q.saga_id, q.step, q.round \
    ON CONFLICT DO NOTHING RETURNING saga_id, step, round) \
SELECT gate.generation, made.saga_id, made.step, made.round FROM gate LEFT JOIN made ON true";

/// Reservations to be entered, as columns.
pub(super) struct Entry<'a> {
    keys: Keys<'a>,
    lines: Vec<String>,
    generation: i64,
    /// Whether each is asked for the first time, as far as one knows.
    all_new: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn of(generation: i64, wants: &[&'a Want]) -> Self {
        Self {
            keys: Keys::of(wants.iter().map(|want| &want.key)),
            lines: wants.iter().map(|want| write_lines(&want.lines)).collect(),
            generation,
            all_new: !wants.iter().any(|want| want.repeated),
        }
    }

    fn bound(&self, sql: &'static str) -> Query<'_, Postgres, PgArguments> {
        let Keys { sagas, steps, rounds } = &self.keys;
        let query = sqlx::query(sql).bind(sagas).bind(steps).bind(rounds);
        query.bind(&self.lines).bind(self.generation).bind(service::time::now().0)
    }

    /// Enters them, which fails if one is there; `None` if the generation is over.
    pub(super) async fn as_new(&self, transaction: &mut Transaction<'_, Postgres>) -> sqlx::Result<Option<Vec<bool>>> {
        if !self.all_new {
            return self.unless_there(transaction).await;
        }
        let counts: i64 = self.bound(BOOK_NEW).fetch_one(&mut **transaction).await?.try_get(0)?;
        Ok((counts == self.generation).then(|| vec![true; self.lines.len()]))
    }

    /// Enters those that are not there: which ones; `None` if the generation is over.
    pub(super) async fn unless_there(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> sqlx::Result<Option<Vec<bool>>> {
        let rows = self.bound(BOOK).fetch_all(&mut **transaction).await?;
        let mut made: HashSet<(Uuid, String, i32)> = HashSet::with_capacity(rows.len());
        for row in rows {
            if row.try_get::<i64, _>(0)? != self.generation {
                return Ok(None);
            }
            if let Some(saga) = row.try_get::<Option<Uuid>, _>(1)? {
                made.insert((saga, row.try_get(2)?, row.try_get(3)?));
            }
        }
        let Keys { sagas, steps, rounds } = &self.keys;
        let keys = sagas.iter().zip(steps).zip(rounds);
        Ok(Some(keys.map(|((saga, step), round)| made.contains(&(*saga, (*step).to_owned(), *round))).collect()))
    }
}

/// Keys as columns.
pub(super) struct Keys<'a> {
    pub(super) sagas: Vec<Uuid>,
    pub(super) steps: Vec<&'a str>,
    pub(super) rounds: Vec<i32>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(keys: impl Iterator<Item = &'a EffectKey>) -> Self {
        let mut columns = Self { sagas: Vec::new(), steps: Vec::new(), rounds: Vec::new() };
        for key in keys {
            columns.sagas.push(key.saga.uuid());
            columns.steps.push(&key.step);
            columns.rounds.push(stored_round(key.round));
        }
        columns
    }
}
