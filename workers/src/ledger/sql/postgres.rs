//! One statement over the batch. What it does not claim is read in a second one.

use std::collections::HashMap;
use std::time::Duration;

use saga_model::state::{Failure, Kind};
use sqlx::{FromRow, PgPool, Row as _};
use uuid::Uuid;

use super::{Status, Stored, round_of, row_of, stored_round};
use crate::ledger::{ClaimId, Ending, Judgement, Question, Record, judge, undone};
use crate::spans;
use crate::sql::unless_there;
use crate::trouble::Trouble;

/// [`judge`] in SQL, as far as it claims something (a test keeps the two in step). Time is the database's.
///
/// What is asked for the first time (`$7`, `$8`) is entered without looking whether it is there, which takes half as
/// long; if it is, nothing of the batch is claimed.
const CLAIM: &str = "\
WITH first AS ( \
    INSERT INTO worker_ledger (saga_id, step, round, status, unsettled, claim, lease_until, undo_round, undone) \
    SELECT q.saga_id, q.step, 1, 0, true, $5, clock.now + $6, 0, false \
    FROM (SELECT unnest($7::uuid[]) AS saga_id, unnest($8::text[]) AS step) AS q, \
        (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now) AS clock) \
INSERT INTO worker_ledger AS l \
    (saga_id, step, round, status, unsettled, claim, lease_until, undo_round, undone) \
SELECT q.saga_id, q.step, q.round, CASE WHEN q.undo THEN 5 ELSE 0 END, NOT q.undo, \
    CASE WHEN q.undo THEN 0 ELSE $5 END, CASE WHEN q.undo THEN 0 ELSE clock.now + $6 END, \
    CASE WHEN q.undo THEN q.round ELSE 0 END, false \
FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::bool[]) AS q(saga_id, step, round, undo), \
    (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now) AS clock \
ORDER BY q.saga_id, q.step \
ON CONFLICT (saga_id, step) DO UPDATE SET \
    round = CASE WHEN excluded.status = 5 OR l.status = 0 THEN l.round ELSE excluded.round END, \
    status = CASE WHEN excluded.status = 5 THEN 3 ELSE 0 END, \
    unsettled = CASE WHEN excluded.status = 5 THEN l.unsettled ELSE true END, \
    claim = $5, \
    lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::int8 + $6, \
    undo_round = greatest(l.undo_round, excluded.undo_round), \
    error_code = CASE WHEN excluded.status = 0 AND l.status <> 0 THEN NULL ELSE l.error_code END, \
    error_message = CASE WHEN excluded.status = 0 AND l.status <> 0 THEN NULL ELSE l.error_message END \
WHERE CASE WHEN excluded.status = 0 \
    THEN (l.status = 0 AND excluded.round >= l.round AND (l.claim = $5 OR \
            l.lease_until <= (extract(epoch FROM clock_timestamp()) * 1000000)::int8)) \
        OR (l.status IN (1, 2) AND excluded.round > l.round) \
    ELSE (l.status IN (0, 3) AND (l.claim = $5 OR \
            l.lease_until <= (extract(epoch FROM clock_timestamp()) * 1000000)::int8)) \
        OR l.status IN (1, 2) \
        OR (l.status = 4 AND excluded.undo_round > l.undo_round) END \
RETURNING saga_id, step, round, status, unsettled, trace, xmax = 0 AS fresh, error_code, error_message";

const READ: &str = "\
SELECT l.round, l.status, l.unsettled, l.claim, l.lease_until, l.undo_round, l.undone, l.output, l.error_code, \
    l.error_message, l.trace, q.i, (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now \
FROM unnest($1::uuid[], $2::text[], $3::int8[]) AS q(saga_id, step, i) \
JOIN worker_ledger l ON l.saga_id = q.saga_id AND l.step = q.step";

const RECORD: &str = "\
UPDATE worker_ledger l SET status = coalesce(r.status, l.status), unsettled = l.unsettled AND r.status IS NULL, \
    lease_until = CASE WHEN r.status IS NULL AND r.error_code IS NOT NULL THEN l.lease_until ELSE 0 END, \
    undone = r.undone, output = r.output, \
    error_code = CASE WHEN r.status IS NULL THEN coalesce(r.error_code, l.error_code) ELSE r.error_code END, \
    error_message = CASE WHEN r.status IS NULL THEN coalesce(r.error_message, l.error_message) ELSE r.error_message END, \
    trace = coalesce(r.trace, l.trace) \
FROM (SELECT unnest($1::uuid[]) AS saga_id, unnest($2::text[]) AS step, unnest($3::int2[]) AS status, \
    unnest($4::bool[]) AS undone, unnest($5::text[]) AS output, unnest($6::text[]) AS error_code, \
    unnest($7::text[]) AS error_message, unnest($8::text[]) AS trace) AS r \
WHERE l.saga_id = r.saga_id AND l.step = r.step AND l.claim = $9 AND l.status IN (0, 3)";

/// The state of the rows that a claim holds, or has ended.
const MINE: &str = "\
SELECT l.saga_id, l.step, l.status FROM (SELECT unnest($1::uuid[]) AS saga_id, unnest($2::text[]) AS step) AS q \
JOIN worker_ledger l ON l.saga_id = q.saga_id AND l.step = q.step WHERE l.claim = $3";

pub(super) async fn claim(
    pool: &PgPool,
    claim: ClaimId,
    lease: Duration,
    questions: &[Question],
) -> Result<Vec<Judgement>, Trouble> {
    let (mut first, known): (Vec<usize>, Vec<usize>) =
        (0..questions.len()).partition(|place| questions[*place].is_first());
    // In one order everywhere: two workers with the same commands hardly ever wait for each other in a circle. (They do if
    // what is new to one is not to the other; the server then ends one of them, which asks again.)
    first.sort_by(|one, other| questions[*one].key.cmp(&questions[*other].key));
    if let Some(judgements) = claim_as(pool, claim, lease, questions, (first, known)).await? {
        return Ok(judgements);
    }
    let all = (Vec::new(), (0..questions.len()).collect());
    let judgements = claim_as(pool, claim, lease, questions, all).await?;
    judgements.ok_or_else(|| Trouble::Poison("two rows under one key".to_owned()))
}

/// Claims questions, of which the `first` ones are asked for the first time; `None`, and nothing is claimed, if one of
/// those is there.
async fn claim_as(
    pool: &PgPool,
    claim: ClaimId,
    lease: Duration,
    questions: &[Question],
    (first, known): (Vec<usize>, Vec<usize>),
) -> Result<Option<Vec<Judgement>>, Trouble> {
    let (first_sagas, first_steps) = columns(questions, &first);
    let (sagas, steps) = columns(questions, &known);
    let rounds: Vec<i32> = known.iter().map(|place| stored_round(questions[*place].key.round)).collect();
    let undo: Vec<bool> = known.iter().map(|place| questions[*place].kind == Kind::Compensate).collect();
    let query = sqlx::query(CLAIM)
        .bind(&sagas)
        .bind(&steps)
        .bind(&rounds)
        .bind(&undo)
        .bind(claim.0)
        .bind(spans::micros_of(lease))
        .bind(&first_sagas)
        .bind(&first_steps);
    let Some(rows) = unless_there(query.fetch_all(pool).await)? else { return Ok(None) };
    let mut judgements: Vec<Option<Judgement>> = vec![None; questions.len()];
    for place in first {
        judgements[place] = Some(Judgement::Act { repeated: false });
    }
    let places = places(&sagas, &steps);
    for row in rows {
        let place = places.get(&(row.try_get(0)?, row.try_get(1)?)).map(|place| known[*place]);
        if let Some(place) = place {
            judgements[place] = Some(claimed(&row, &questions[place])?);
        }
    }
    read_rest(pool, claim, questions, &mut judgements).await?;
    // What is still none was there for the first statement and not for the second, which cannot be, or the other way
    // round, which is a race with a claim elsewhere: asking again decides it.
    Ok(Some(judgements.into_iter().map(|judgement| judgement.unwrap_or(Judgement::Busy)).collect()))
}

/// The keys of the questions at these places, as columns.
fn columns<'a>(questions: &'a [Question], places: &[usize]) -> (Vec<Uuid>, Vec<&'a str>) {
    places.iter().map(|place| (questions[*place].key.saga.uuid(), &*questions[*place].key.step)).unzip()
}

fn places<'a>(sagas: &[Uuid], steps: &[&'a str]) -> HashMap<(Uuid, &'a str), usize> {
    sagas.iter().copied().zip(steps.iter().copied()).enumerate().map(|(place, key)| (key, place)).collect()
}

/// What a row that was claimed, or made, asks for.
fn claimed(row: &sqlx::postgres::PgRow, question: &Question) -> Result<Judgement, Trouble> {
    let (round, status): (i32, i16) = (row.try_get(2)?, row.try_get(3)?);
    let (unsettled, fresh): (bool, bool) = (row.try_get(4)?, row.try_get(6)?);
    let round = round_of(round)?;
    Ok(match Status::from_code(status) {
        Some(Status::Tombstone) => Judgement::Answer(undone(false)),
        Some(Status::Undoing) => Judgement::Undo { settle: unsettled.then_some(round), trace: row.try_get(5)? },
        Some(Status::Running) if round < question.key.round => Judgement::Settle { round },
        Some(Status::Running) => match row.try_get::<Option<String>, _>(7)? {
            Some(code) => Judgement::Refuse {
                why: Failure { code, message: row.try_get::<Option<String>, _>(8)?.unwrap_or_default() },
            },
            None => Judgement::Act { repeated: !fresh },
        },
        Some(Status::Succeeded | Status::Rejected | Status::UndoRefused) | None => {
            return Err(Trouble::Poison(format!("a claim left worker_ledger in state {status}")));
        }
    })
}

/// Reads the rows that were not claimed, and answers from them.
async fn read_rest(
    pool: &PgPool,
    claim: ClaimId,
    questions: &[Question],
    judgements: &mut [Option<Judgement>],
) -> Result<(), Trouble> {
    let rest: Vec<usize> = (0..questions.len()).filter(|place| judgements[*place].is_none()).collect();
    if rest.is_empty() {
        return Ok(());
    }
    let (sagas, steps) = columns(questions, &rest);
    let rows = sqlx::query(READ)
        .bind(&sagas)
        .bind(&steps)
        .bind(rest.iter().map(|place| *place as i64).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    for row in rows {
        let (place, now): (i64, i64) = (row.try_get("i")?, row.try_get("now")?);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let known = row_of(Stored::from_row(&row)?)?;
        if let Some(question) = questions.get(place) {
            let judgement = judge(Some(&known), question, claim.0, now, now).judgement;
            // Only an answer may be taken from a row that is not claimed. All else changed between the two statements.
            let answers = matches!(judgement, Judgement::Answer(_));
            judgements[place] = Some(if answers { judgement } else { Judgement::Busy });
        }
    }
    Ok(())
}

pub(super) async fn record(pool: &PgPool, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble> {
    let sagas: Vec<Uuid> = records.iter().map(|record| record.saga.uuid()).collect();
    let steps: Vec<&str> = records.iter().map(|record| &*record.step).collect();
    let columns: Vec<Columns<'_>> = records.iter().map(|record| Columns::of(&record.ending)).collect();
    let recorded = sqlx::query(RECORD)
        .bind(&sagas)
        .bind(&steps)
        .bind(columns.iter().map(|columns| columns.status.map(|status| status as i16)).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.undone).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.output).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.error.map(|(code, _)| code)).collect::<Vec<_>>())
        .bind(columns.iter().map(|columns| columns.error.map(|(_, message)| message)).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.trace.as_deref()).collect::<Vec<_>>())
        .bind(claim.0)
        .execute(pool)
        .await?;
    if usize::try_from(recorded.rows_affected()) == Ok(records.len()) {
        return Ok(vec![true; records.len()]);
    }
    let places = places(&sagas, &steps);
    let mut held = vec![false; records.len()];
    // A row of this claim that is as it was to become, and was not changed now, was when this was recorded before.
    for row in sqlx::query(MINE).bind(&sagas).bind(&steps).bind(claim.0).fetch_all(pool).await? {
        if let Some(place) = places.get(&(row.try_get(0)?, row.try_get(1)?)) {
            let found = Status::from_code(row.try_get(2)?);
            held[*place] = match columns[*place].status {
                Some(_) => found == columns[*place].status,
                None => matches!(found, Some(Status::Running | Status::Undoing)),
            };
        }
    }
    Ok(held)
}

/// What an ending changes.
#[derive(Default)]
struct Columns<'a> {
    /// None leaves the row open.
    status: Option<Status>,
    undone: bool,
    output: Option<&'a str>,
    error: Option<(&'a str, &'a str)>,
}

impl<'a> Columns<'a> {
    fn of(ending: &'a Ending) -> Self {
        match ending {
            Ending::Succeeded(output) => {
                Self { status: Some(Status::Succeeded), output: Some(output.get()), ..Self::default() }
            }
            Ending::Rejected(error) => {
                let error = Some((error.code.as_str(), error.message.as_str()));
                Self { status: Some(Status::Rejected), error, ..Self::default() }
            }
            Ending::Undone { was_there } => {
                Self { status: Some(Status::Tombstone), undone: *was_there, ..Self::default() }
            }
            Ending::Refusing(error) => {
                Self { error: Some((error.code.as_str(), error.message.as_str())), ..Self::default() }
            }
            Ending::UndoRefused(error) => {
                let error = Some((error.code.as_str(), error.message.as_str()));
                Self { status: Some(Status::UndoRefused), error, ..Self::default() }
            }
            Ending::Open => Self::default(),
        }
    }
}
