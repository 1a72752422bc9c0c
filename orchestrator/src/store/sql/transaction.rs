//! Transactions that no caller can leave open.
//!
//! A future may be dropped at any point: by a timeout, by a client that went away. Between a BEGIN that was sent and
//! its answer, that returns a connection inside a transaction to the pool, where the next statement of somebody else
//! becomes part of it. So a transaction runs in a task of its own, which nobody drops.

use std::future::Future;
use std::pin::Pin;

use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::error;
use crate::store::{Result, StoreError};

/// Runs `work` to its end, whether or not the caller waits for it.
///
/// # Errors
/// Those of `work`; [`StoreError::OutcomeUnknown`] if it panics or the process is going down.
pub async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(ended) => Err(StoreError::OutcomeUnknown(ended.to_string())),
    }
}

/// What a transaction ends with.
pub enum End<T> {
    Commit(T),
    RollBack(T),
}

/// The work of a transaction.
pub type Work<'t, T> = Pin<Box<dyn Future<Output = Result<End<T>>> + Send + 't>>;

/// Runs `work` in a writing transaction of its own, and commits if it says so. The pool of `db` hands out no
/// connection that is inside another one: what begins here is never a SAVEPOINT.
///
/// # Errors
/// Those of `work`, of the statements around it, and [`StoreError::OutcomeUnknown`] if the commit itself broke.
pub async fn write<T, F>(db: &DatabaseConnection, work: F) -> Result<T>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t DatabaseTransaction) -> Work<'t, T> + Send + 'static,
{
    let db = db.clone();
    detached(async move {
        // SQLite: taking the lock at the start, because one that has read first cannot wait for it any more.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        let transaction = db.begin_with_options(options).await.map_err(error::orm)?;
        match work(&transaction).await {
            Ok(End::Commit(value)) => {
                transaction.commit().await.map_err(error::orm_commit)?;
                Ok(value)
            }
            Ok(End::RollBack(value)) => {
                let failed =
                    |error| StoreError::Unavailable(format!("a transaction could not be rolled back: {error}"));
                transaction.rollback().await.map_err(failed)?;
                Ok(value)
            }
            Err(error) => {
                // What went wrong first is what counts. Where the rollback fails as well, as it does if SQLite has
                // rolled back by itself, the pool closes the connection.
                let _ = transaction.rollback().await;
                Err(error)
            }
        }
    })
    .await
}
