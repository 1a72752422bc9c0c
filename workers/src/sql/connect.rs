//! Connections to Postgres and the settings of their sessions.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

/// A batch of each worker in two parts at once. No more: the pool takes its connections in turn, and each server
/// process that works has its own caches to keep warm.
const CONNECTIONS: u32 = 6;
/// A connection that was idle for so long is tried before it is used: the server may have been restarted meanwhile.
const DOUBTFUL: Duration = Duration::from_secs(1);

/// Nested loops over indexes, planned once: left to itself, Postgres plans the joins of a batch for the tables as they
/// are when a connection is new, which are small, reads all of the table for each row of the batch, and keeps that plan
/// while they grow. A row that is read costs as much as a lookup here, so that a lookup is cheaper unless the table was
/// analyzed while it was all but empty. The server ends a transaction whose client is frozen, and frees the rows that it has
/// locked.
const SESSION: [(&str, &str); 11] = [
    ("idle_in_transaction_session_timeout", "3s"),
    ("statement_timeout", "5s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("cpu_tuple_cost", "1"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_memoize", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
];

/// Connections to the database at `url`, each waited for at most that long; nothing is connected yet.
///
/// # Errors
/// If the URL makes no sense.
pub fn connect(url: &str, patience: Duration) -> Result<DatabaseConnection, sqlx::Error> {
    let options =
        PgConnectOptions::from_str(url)?.application_name("worker").options(SESSION).disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                // What is begun inside a transaction is a SAVEPOINT, and its end no commit: never on this one again.
                if connection.is_in_transaction() {
                    return Ok(false);
                }
                if meta.idle_for >= DOUBTFUL {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}
