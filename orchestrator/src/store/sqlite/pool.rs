//! Connections to the file.
//!
//! A transaction may end otherwise than it was told to. On a full disk a COMMIT fails and SQLite rolls back by itself,
//! after which there is nothing left for a ROLLBACK to end; the driver, which counts what succeeds, then believes the
//! connection to be in a transaction for ever. The next one on it would be a SAVEPOINT in what the driver takes for
//! that transaction, and its end no commit. So a connection that is not out of its last transaction is closed, which
//! rolls back whatever is open, and a new one takes its place.

use std::path::Path;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::Connection;
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
        // All that was asked of the connection before has been done: it was pinged when it was given back. That the
        // count is right where it says 0 is seen to by SQLite, which refuses a BEGIN within a transaction.
        .before_acquire(|connection, _| {
            let out = !connection.is_in_transaction();
            Box::pin(async move { Ok(out) })
        })
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
