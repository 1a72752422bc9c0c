//! The ledger in SQL: table `worker_ledger`.

mod postgres;
mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use saga_model::json::RawJson;
use saga_model::state::Failure;

use super::{ClaimId, Judgement, Ledger, Question, Record, Row, Status};
use crate::sql::{Db, Pool};
use crate::trouble::Trouble;

/// Rows of the database that the worker shares with its kind.
#[derive(Debug, Clone)]
pub struct SqlLedger {
    db: Db,
}

impl SqlLedger {
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Ledger for SqlLedger {
    async fn claim(&self, claim: ClaimId, lease: Duration, questions: &[Question]) -> Result<Vec<Judgement>, Trouble> {
        match &self.db.pool {
            Pool::Postgres(pool) => postgres::claim(pool, claim, lease, questions).await,
            Pool::Sqlite(pool) => sqlite::claim(pool, claim, lease, questions).await,
        }
    }

    async fn record(&self, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble> {
        match &self.db.pool {
            Pool::Postgres(pool) => postgres::record(pool, claim, records).await,
            Pool::Sqlite(pool) => sqlite::record(pool, claim, records).await,
        }
    }

    async fn end_leases(&self) -> Result<(), Trouble> {
        const END: &str = "UPDATE worker_ledger SET lease_until = 0 WHERE lease_until > 0";
        match &self.db.pool {
            Pool::Postgres(pool) => sqlx::query(END).execute(pool).await.map(drop)?,
            Pool::Sqlite(pool) => sqlx::query(END).execute(pool).await.map(drop)?,
        }
        Ok(())
    }
}

/// A row as it is stored, but for its key: round, status, unsettled, claim, lease_until, undo_round, undone, output,
/// error_code, error_message, trace.
type Stored = (i32, i16, bool, i64, i64, i32, bool, Option<String>, Option<String>, Option<String>, Option<String>);

fn row_of(stored: Stored) -> Result<Row, Trouble> {
    let (round, status, unsettled, claim, lease_until, undo_round, undone, output, code, message, trace) = stored;
    let strange = |what: &str| Trouble::Poison(format!("worker_ledger holds {what}"));
    let output = output.map(RawJson::from_string).transpose().map_err(|_| strange("an output that is no JSON"))?;
    Ok(Row {
        round: round_of(round)?,
        status: Status::from_code(status).ok_or_else(|| strange("an unknown state"))?,
        unsettled,
        claim,
        lease_until,
        undo_round: round_of(undo_round)?,
        undone,
        output,
        error: code.map(|code| Failure { code, message: message.unwrap_or_default() }),
        trace,
    })
}

fn round_of(stored: i32) -> Result<u32, Trouble> {
    u32::try_from(stored).map_err(|_| Trouble::Poison("worker_ledger holds a negative round".to_owned()))
}

/// A round as it is stored. The wire has none above 2^31-1.
fn stored_round(round: u32) -> i32 {
    i32::try_from(round).unwrap_or(i32::MAX)
}
