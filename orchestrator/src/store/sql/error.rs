//! Which errors pass and which do not.
//!
//! What is wrong with the connection, the server or its load passes, and says nothing about what was to be stored:
//! [`StoreError::Unavailable`]. What is left is wrong with the content: [`StoreError::Refused`], upon which the engine
//! looks for the culprit in the batch; so no trouble of the server may ever be taken for that.

use std::borrow::Cow;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqliteError;

use crate::store::StoreError;

/// Classes of SQLSTATE that pass: connection (08), rollback by the server (40: deadlock, serialization), resources
/// (53), object in use (55), operator intervention (57), system (58); and those that speak of the session alone,
/// which a failover or a rotated password brings: transaction state (25: read-only standby, ended while idle),
/// authorization (28), unknown database (3D).
const PASSING_CLASSES: [&str; 9] = ["08", "25", "28", "3D", "40", "53", "55", "57", "58"];

/// Primary result codes of SQLite that pass: BUSY, LOCKED, NOMEM, READONLY (the file system has become so), IOERR, FULL,
/// CANTOPEN.
const PASSING_CODES: [i32; 7] = [5, 6, 7, 8, 10, 13, 14];

/// Primary result codes with which a COMMIT of SQLite has stored nothing: BUSY, LOCKED, FULL, CONSTRAINT.
///
/// A commit is stored once its last page stands in the log, whole and marked as the last one. FULL means that the log
/// could not be written up to there: without the mark no reader, and no process that opens the file after a crash,
/// ever takes the pages before it for a commit. Not so after IOERR or NOMEM, which may come from what follows the mark,
/// from the sync or the index of the log: a crash then finds a whole commit, unless another one was written over it.
const UNCOMMITTED_CODES: [i32; 4] = [5, 6, 13, 19];

/// The error of a statement outside of a commit: the server has changed nothing, or will roll it back.
pub fn statement(error: sqlx::Error) -> StoreError {
    judge(&error)
}

fn judge(error: &sqlx::Error) -> StoreError {
    let text = error.to_string();
    let passes = match error {
        sqlx::Error::Database(error) => database_error_passes(error.as_ref()),
        // The connection, or the pool, is in a bad way.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::InvalidSavePointStatement
        | sqlx::Error::BeginFailed => true,
        // The statement, its arguments or its answer are not what they should be. (The enum is not exhaustive.)
        _ => false,
    };
    if passes { StoreError::Unavailable(text) } else { StoreError::Refused(text) }
}

/// The error of a COMMIT. Only an ordinary error of the server says that nothing was stored, or one of those few with
/// which SQLite does; when it ends the connection, or the connection breaks, the commit may have happened.
pub fn commit(error: sqlx::Error) -> StoreError {
    judge_commit(&error)
}

fn judge_commit(error: &sqlx::Error) -> StoreError {
    let nothing_stored = match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => !matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
            None => sqlite_code(error.as_ref()).is_some_and(|code| UNCOMMITTED_CODES.contains(&code)),
        },
        _ => false,
    };
    if nothing_stored { judge(error) } else { StoreError::OutcomeUnknown(error.to_string()) }
}

/// An error that came through sea-orm.
pub fn orm(error: DbErr) -> StoreError {
    match &error {
        // No connection could be had: nothing was even asked.
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => StoreError::Unavailable(error.to_string()),
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => judge(error),
        // Conversions and misuse; the enum has many of them, and more with each release.
        _ => StoreError::Refused(error.to_string()),
    }
}

/// The error of a COMMIT that came through sea-orm.
pub fn orm_commit(error: DbErr) -> StoreError {
    match &error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => judge_commit(error),
        _ => StoreError::OutcomeUnknown(error.to_string()),
    }
}

fn database_error_passes(error: &dyn DatabaseError) -> bool {
    match sqlite_code(error) {
        Some(code) => PASSING_CODES.contains(&code),
        None => error.code().is_some_and(|code| PASSING_CLASSES.iter().any(|class| code.starts_with(class))),
    }
}

/// The primary result code, if this is an error of SQLite: the low byte of the extended one.
fn sqlite_code(error: &dyn DatabaseError) -> Option<i32> {
    let code: Cow<'_, str> = error.try_downcast_ref::<SqliteError>()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
