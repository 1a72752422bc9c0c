//! Brings a database up to date.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};
use sea_orm_migration::MigratorTrait;

use crate::Migrator;
use crate::check::{SchemaProblem, check, count_shards};

/// Why a database was not brought up to date. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The shard count is not one of 1, 2, 4 … 64.
    #[error("{0} shards: the number of shards is one of 1, 2, 4, 8, 16, 32, 64")]
    InvalidCount(u16),
    /// The database was set up with another shard count.
    #[error("the database has {stored} shards, not {asked}")]
    OtherCount { stored: u16, asked: u16 },
    /// The schema is of a newer release than this one.
    #[error(transparent)]
    Schema(SchemaProblem),
    #[error("the schema could not be brought up to date")]
    Database(#[from] DbErr),
}

/// Brings the schema up to date and creates the rows of the shards (`shards` of them, if there are none yet). Does
/// nothing where nothing is missing, and may run any number of times, also at once.
///
/// # Errors
/// [`MigrateError`]; in each case nothing was changed.
pub async fn migrate(db: &DatabaseConnection, shards: u16) -> Result<(), MigrateError> {
    if !shards.is_power_of_two() || shards > 64 {
        return Err(MigrateError::InvalidCount(shards));
    }
    match check(db).await {
        Ok(()) | Err(SchemaProblem::Outdated { .. } | SchemaProblem::NoShards) => {}
        Err(newer @ SchemaProblem::Newer { .. }) => return Err(MigrateError::Schema(newer)),
        Err(SchemaProblem::Database(error)) => return Err(MigrateError::Database(error)),
    }
    let all = db.begin().await?;
    if all.get_database_backend() == DbBackend::Postgres {
        // A step may read all of a large table, or wait for one that does: no limit that a session has for other work.
        all.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        all.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        // "saga" in ASCII. It is released with the transaction; who waits for it finds everything done.
        all.execute_unprepared("SELECT pg_advisory_xact_lock(1935763297)").await?;
    }
    Migrator::up(&all, None).await?;
    match count_shards(&all).await? {
        0 => {
            for id in 0..shards {
                let insert = "INSERT INTO shard (id) VALUES ($1)";
                let values = [i32::from(id).into()];
                all.execute_raw(Statement::from_sql_and_values(all.get_database_backend(), insert, values)).await?;
            }
        }
        stored if stored == shards => {}
        stored => return Err(MigrateError::OtherCount { stored, asked: shards }),
    }
    all.commit().await?;
    Ok(())
}
