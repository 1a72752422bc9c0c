//! Connections to the file.

use std::path::Path;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::store::sql::error;
use crate::store::{Result, StoreError};

/// How long to wait for a connection: the database is then asked too much.
const ACQUIRE: Duration = Duration::from_secs(3);
const READERS: u32 = 4;

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Each commit is on the disk before it is answered.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<DatabaseConnection> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(error::statement)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Opens the file at `path`, which is made if it is not there: the one connection of this process that writes. A
/// transaction on it begins with `BEGIN IMMEDIATE`.
///
/// # Errors
/// [`StoreError::Unavailable`] or [`StoreError::Refused`] if the file cannot be opened or is no database.
pub async fn open(path: &Path) -> Result<DatabaseConnection> {
    pool(options(path).create_if_missing(true), 1).await
}

/// Connections that only read.
pub async fn open_readers(path: &Path) -> Result<DatabaseConnection> {
    if !path.exists() {
        return Err(StoreError::Refused(format!("there is no database at {}", path.display())));
    }
    pool(options(path).pragma("query_only", "ON"), READERS).await
}
