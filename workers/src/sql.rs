//! The database, as the workers use it.
//!
//! Where load is, raw SQL goes through the pool of the connection that they are handed: on Postgres a batch is one
//! statement over arrays; on SQLite, where `saga dev` shares one writer connection among all that it runs, it is a
//! loop in one `BEGIN IMMEDIATE` transaction. No call is ever cancelled half-way (a dropped `begin` would hand its
//! connection back inside a transaction): they run in tasks of their own.

pub mod connect;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sqlx::{PgPool, Sqlite, SqlitePool, Transaction};

use crate::trouble::{Part, Trouble};

/// A connection of one of the two kinds.
#[derive(Debug, Clone)]
pub struct Db {
    connection: DatabaseConnection,
    pub(crate) pool: Pool,
}

/// The pool of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// The connection is to another kind of database.
#[derive(Debug, thiserror::Error)]
#[error("the workers keep their data in Postgres or SQLite")]
pub struct WrongDatabase;

impl Db {
    /// The workers' view of `connection`.
    ///
    /// # Errors
    /// If it is neither to Postgres nor to SQLite.
    pub fn new(connection: DatabaseConnection) -> Result<Self, WrongDatabase> {
        let pool = match connection.get_database_backend() {
            DbBackend::Postgres => Pool::Postgres(connection.get_postgres_connection_pool().clone()),
            DbBackend::Sqlite => Pool::Sqlite(connection.get_sqlite_connection_pool().clone()),
            _ => return Err(WrongDatabase), // MySQL, and what a later version adds
        };
        Ok(Self { connection, pool })
    }

    /// The connection, for what is not in the hot path.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), Trouble> {
        Ok(self.connection.ping().await?)
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Trouble> {
        let sqlite_transaction_mode = match self.pool {
            Pool::Postgres(_) => None,
            Pool::Sqlite(_) => Some(SqliteTransactionMode::Immediate),
        };
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        Ok(self.connection.begin_with_options(options).await?)
    }
}

/// Begins a transaction that writes.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn immediate(pool: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    pool.begin_with("BEGIN IMMEDIATE").await
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for Trouble {
    fn from(error: &sqlx::Error) -> Self {
        let away = match error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match database.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                    Some(_) => !sqlite_blames_content(&code),
                    None => !postgres_blames_content(&code),
                }
            }
            // What the database was given or gave back does not fit: the same again would not either.
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::RowNotFound => false,
            _ => true, // the connection, the pool, and what a later version adds
        };
        trouble(away, error)
    }
}

impl From<DbErr> for Trouble {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => Self::from(&**inner),
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => trouble(true, &error),
            _ => trouble(false, &error), // what was asked or answered does not fit
        }
    }
}

fn trouble(away: bool, error: &dyn std::error::Error) -> Trouble {
    let detail = error.to_string();
    if away { Trouble::Away { part: Part::Database, detail } } else { Trouble::Poison(detail) }
}

/// The classes of SQLSTATE that speak of the content of a statement: cardinality, data, integrity, limits. Everything
/// else (no connection, a deadlock, no space, a table that is not there yet) says nothing about the command.
fn postgres_blames_content(code: &str) -> bool {
    ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class))
}

/// The primary result codes of SQLite that do: TOOBIG, CONSTRAINT, MISMATCH, RANGE.
fn sqlite_blames_content(code: &str) -> bool {
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(18 | 19 | 20 | 25))
}

/// Whether a statement was refused by a CHECK of its table.
pub(crate) fn breaks_a_check(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.is_check_violation())
}

/// What became of a statement that enters what is new without looking; `None` if it was refused because a row is there
/// under its key.
///
/// # Errors
/// Whatever else was wrong with it.
pub(crate) fn unless_there<T>(done: sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    match done {
        Err(sqlx::Error::Database(database)) if database.is_unique_violation() => Ok(None),
        done => done.map(Some),
    }
}
