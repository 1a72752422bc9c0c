//! The one write of the engine: BEGIN, what decides whether the batch is stored, the batch, COMMIT.
//!
//! Four round trips, whatever the size of the batch. The fence is the first thing locked. The server has nothing to
//! wait for between the statements but this client; should the client freeze there, the server ends the transaction
//! (see [`super::pool`]), and a new owner of its shards goes on.

use std::time::Duration;

use saga_model::ids::ShardId;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Executor, PgPool, Postgres, Row};
use uuid::Uuid;

use super::{PATIENCE, columns, statements};
use crate::store::codec::batch::BatchRows;
use crate::store::fence::{self, Mark};
use crate::store::rows::{Batch, IdempotencyKey};
use crate::store::sql::{error, transaction};
use crate::store::{Committed, Result, StoreError};

/// How long a COMMIT may take before its outcome counts as unknown.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// Stores a batch.
pub async fn commit(pool: &PgPool, batch: &Batch) -> Result<Committed> {
    let expected = fence::expected(batch)?;
    let rows = BatchRows::of(batch)?;
    let pool = pool.clone();
    let marks = expected.clone();
    // In a task of its own: the caller may be dropped, a transaction must come to its end.
    let Some(found) = transaction::detached(async move { run(&pool, &marks, &rows).await }).await? else {
        return Ok(Committed::All);
    };
    if let Some(lost) = fence::judge(&expected, &found.shards)? {
        return Ok(lost);
    }
    fence::withdrawn(batch, found.answered)
        .or_else(|| fence::taken(batch, found.keys))
        .ok_or_else(|| StoreError::Refused("the batch was rolled back for no reason".to_owned()))
}

/// What stood in the way of a batch, or did not.
struct Found {
    shards: Vec<Mark>,
    answered: Vec<Uuid>,
    keys: Vec<IdempotencyKey>,
}

/// A connection inside a transaction. Dropped, it takes the connection with it: the server rolls back, and nobody
/// else gets to use a connection in that state.
struct Open(Option<PoolConnection<Postgres>>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl Open {
    /// Takes a connection and begins a transaction on it.
    async fn begin(pool: &PgPool) -> Result<Self> {
        // What goes wrong before there is a connection says nothing about the batch.
        let connection = pool.acquire().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut open = Self(Some(connection));
        open.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(error::statement)?;
        Ok(open)
    }

    async fn execute(&mut self, sql: &'static str) -> std::result::Result<(), sqlx::Error> {
        self.connection()?.execute(sql).await.map(drop)
    }

    fn connection(&mut self) -> std::result::Result<&mut PoolConnection<Postgres>, sqlx::Error> {
        self.0.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// The transaction has ended: the connection may be used again.
    fn ended(mut self) {
        drop(self.0.take());
    }
}

/// Runs the transaction; `Some` if it was rolled back for what it found.
async fn run(pool: &PgPool, expected: &[Mark], rows: &BatchRows) -> Result<Option<Found>> {
    let before_commit = tokio::time::timeout(PATIENCE, write(pool, expected, rows));
    let late = || StoreError::Unavailable(format!("no answer within {PATIENCE:?}"));
    let mut open = match before_commit.await.map_err(|_| late())?? {
        Written::All(open) => open,
        Written::Nothing(found) => return Ok(Some(found)),
    };
    match tokio::time::timeout(COMMIT_PATIENCE, open.execute("COMMIT")).await {
        Ok(Ok(())) => {
            open.ended();
            Ok(None)
        }
        Ok(Err(broken)) => Err(error::commit(broken)),
        Err(_) => Err(StoreError::OutcomeUnknown(format!("no answer to a commit within {COMMIT_PATIENCE:?}"))),
    }
}

enum Written {
    All(Open),
    Nothing(Found),
}

/// Everything before the COMMIT.
async fn write(pool: &PgPool, expected: &[Mark], rows: &BatchRows) -> Result<Written> {
    let mut open = Open::begin(pool).await?;
    let found = match attempt(&mut open, expected, rows).await {
        Ok(None) => return Ok(Written::All(open)),
        Ok(Some(found)) => Ok(Written::Nothing(found)),
        Err(error) => Err(error),
    };
    // Where even this fails, the connection is closed, which rolls back too.
    if open.execute("ROLLBACK").await.is_ok() {
        open.ended();
    }
    found
}

/// Both statements; `Some` if the first one says that nothing is to be stored.
async fn attempt(open: &mut Open, expected: &[Mark], rows: &BatchRows) -> Result<Option<Found>> {
    let connection = open.connection().map_err(error::statement)?;
    let found = decide(connection, rows).await.map_err(error::statement)?;
    let all =
        found.shards == expected && found.answered.len() == rows.answers.len() && found.keys.len() == rows.keys.len();
    if !all {
        return Ok(Some(found));
    }
    if has_rows(rows) {
        let updated = store(connection, rows).await.map_err(error::statement)?;
        if usize::try_from(updated) != Ok(rows.updates.len()) {
            let missing = rows.updates.len();
            return Err(StoreError::Refused(format!("of {missing} sagas to change only {updated} are stored")));
        }
    }
    Ok(None)
}

/// Whether there is anything but what [`statements::DECIDE`] has written.
fn has_rows(rows: &BatchRows) -> bool {
    let BatchRows { inserts, updates, lingering, history, dead_letters, .. } = rows;
    let no_sagas = inserts.is_empty() && updates.is_empty() && lingering.is_empty();
    !(no_sagas && history.is_empty() && dead_letters.is_empty())
}

async fn decide(
    connection: &mut PoolConnection<Postgres>,
    rows: &BatchRows,
) -> std::result::Result<Found, sqlx::Error> {
    let statement = columns::marks(sqlx::query(statements::DECIDE), &rows.shards);
    let statement = columns::answers(statement, &rows.answers);
    let statement = columns::keys(statement, &rows.keys);
    let row = statement.fetch_one(&mut **connection).await?;
    // An aggregate over no rows is NULL.
    let ids: Vec<i16> = row.try_get::<Option<_>, _>(0)?.unwrap_or_default();
    let epochs: Vec<i64> = row.try_get::<Option<_>, _>(1)?.unwrap_or_default();
    let last_seqs: Vec<i64> = row.try_get::<Option<_>, _>(2)?.unwrap_or_default();
    let callers: Vec<String> = row.try_get::<Option<_>, _>(4)?.unwrap_or_default();
    let paths: Vec<String> = row.try_get::<Option<_>, _>(5)?.unwrap_or_default();
    let keys: Vec<String> = row.try_get::<Option<_>, _>(6)?.unwrap_or_default();
    let live_from: Vec<Uuid> = row.try_get::<Option<_>, _>(7)?.unwrap_or_default();
    let mark = |(((id, epoch), last_seq), live_from): (((i16, i64), i64), Uuid)| Mark {
        // The table's own checks keep these above zero.
        shard: ShardId(id.unsigned_abs()),
        epoch: epoch.unsigned_abs(),
        last_seq: last_seq.unsigned_abs(),
        live_from: live_from.into(),
    };
    Ok(Found {
        shards: ids.into_iter().zip(epochs).zip(last_seqs).zip(live_from).map(mark).collect(),
        answered: row.try_get::<Option<_>, _>(3)?.unwrap_or_default(),
        keys: callers
            .into_iter()
            .zip(paths)
            .zip(keys)
            .map(|((caller, path), key)| IdempotencyKey { caller, path, key })
            .collect(),
    })
}

async fn store(connection: &mut PoolConnection<Postgres>, rows: &BatchRows) -> std::result::Result<i64, sqlx::Error> {
    let mut arguments = PgArguments::default();
    arguments.reserve(0, columns::bytes(rows));
    let statement = columns::inserts(sqlx::query_with(statements::STORE, arguments), &rows.inserts);
    let statement = columns::updates(statement, &rows.updates);
    let statement = columns::lingering(statement, &rows.lingering);
    let statement = columns::history(statement, &rows.history);
    let statement = columns::dead_letters(statement, &rows.dead_letters);
    statement.fetch_one(&mut **connection).await?.try_get(0)
}
