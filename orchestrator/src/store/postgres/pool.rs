//! Connections to Postgres and the settings of their sessions.

use std::str::FromStr;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::store::{Result, StoreError};

/// The pools of a store.
pub struct Pools {
    pub commits: DatabaseConnection,
    pub recovery: DatabaseConnection,
    pub requests: DatabaseConnection,
}

/// No connection within this time: the database is away, or asked too much.
const ACQUIRE: Duration = Duration::from_secs(3);
/// A connection that was idle for so long is tried before it is used: the server may have been restarted meanwhile.
const DOUBTFUL: Duration = Duration::from_secs(1);
/// The commit loop, the heartbeat, and shards being taken. No more: the pool takes its connections in turn, and each
/// server process that works has its own caches to keep warm.
const COMMITS: u32 = 3;
/// Shards that are loaded, an outcome that is in doubt, and the mailbox.
const RECOVERY: u32 = 3;
const REQUESTS: u32 = 8;

/// Of every session. The server ends a transaction whose client is frozen, and frees the rows that it has locked.
const SESSION: [(&str, &str); 2] = [("idle_in_transaction_session_timeout", "3s"), ("statement_timeout", "5s")];

/// Of the sessions that commit: nested loops over indexes, planned once. Left to itself, Postgres plans the joins of a
/// commit for the tables as they are when a connection is new; for small ones it reads all of the table for each row of
/// the batch, and keeps that plan while the table grows. A row that is read costs as much as a lookup here, so that a
/// lookup is cheaper unless the table was analyzed while it was all but empty. (Without `jit=off` the forced plans would look
/// costly enough to be compiled.)
pub const PINNED_PLANS: [(&str, &str); 9] = [
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

/// The pools for a database; nothing is connected yet.
pub fn open(url: &str) -> Result<Pools> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| StoreError::Refused(format!("the URL of the database: {error}")))?
        .application_name("saga")
        // Errors are ours to tell; a record of every statement costs even where nobody reads it.
        .disable_statement_logging()
        .options(SESSION);
    Ok(Pools {
        commits: pool(options.clone().options(PINNED_PLANS), COMMITS),
        recovery: pool(options.clone(), RECOVERY),
        requests: pool(options, REQUESTS),
    })
}

fn pool(options: PgConnectOptions, connections: u32) -> DatabaseConnection {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
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
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}
