//! Whether a live database holds what it must: every saga against its history and the numbered invariants, the rows
//! against each other, and the shop's books against the sagas. It only reads, from one snapshot, page by page.

mod sagas;
mod snapshot;
mod tables;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use saga_model::SagaId;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};
use serde::Serialize;
use uuid::Uuid;

use self::snapshot::Snapshot;
use crate::store::StoreError;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// None if it is about no saga alone.
    pub saga_id: Option<SagaId>,
    /// `INV-6`: an invariant of the model; else one of [`Rule`].
    pub rule: String,
    /// The rule as a sentence.
    pub name: String,
    /// What was found.
    pub found: String,
}

/// What holds beyond the invariants of the model. The numbers are fixed for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Readable,
    Columns,
    Shard,
    Marks,
    Orphan,
    Key,
    Verb,
    Found,
    Sums,
    OneCapture,
    Confirmed,
    Compensated,
}

impl Rule {
    /// Its number and its sentence.
    pub fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::Readable => ("ROW-1", "every row can be read"),
            Self::Columns => ("ROW-2", "the columns of a saga say what its state says"),
            Self::Shard => ("ROW-3", "a saga's history stands in its shard"),
            Self::Marks => ("ROW-4", "the last row of a shard is the one that it marks"),
            Self::Orphan => ("ROW-5", "a history row belongs to a saga"),
            Self::Key => ("ROW-6", "an idempotency key stands for a saga"),
            Self::Verb => ("ROW-7", "each verb that was granted is in the history, and no other"),
            Self::Found => ("ROW-8", "a live saga is found by its id or its flag"),
            Self::Sums => ("BOOK-1", "what is reserved and sold are the sums of the reservations"),
            Self::OneCapture => ("BOOK-2", "at most one capture of a saga stands"),
            Self::Confirmed => ("BOOK-3", "of a confirmed order one capture stands, and units"),
            Self::Compensated => ("BOOK-4", "of a compensated saga nothing stands"),
        }
    }

    fn broken(self, saga_id: Option<SagaId>, found: String) -> Violation {
        let (rule, name) = self.says();
        Violation { saga_id, rule: rule.to_owned(), name: name.to_owned(), found }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.saga_id {
            Some(saga) => write!(f, "{saga}  ")?,
            None => write!(f, "-  ")?,
        }
        write!(f, "{} ({}): {}", self.rule, self.name, self.found)
    }
}

/// Why it could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Unchecked {
    #[error("the database: {0}")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much there is to check, and was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    pub sagas: u64,
    pub transitions: u64,
    pub reservations: u64,
}

/// What of a saga stands outside, by the participants' books.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Captures that were not refunded.
    pub captures: u32,
    /// What they are, less what was refunded, in hundredths.
    pub money: i64,
    /// Units that are set apart or sold.
    pub units: i64,
}

/// The participants' books, which are in the same database.
#[async_trait]
pub trait Books: Sync {
    /// What stands of these sagas; nothing of those that are not in it.
    async fn standing(&self, db: &DatabaseTransaction, sagas: &[Uuid]) -> Result<BTreeMap<Uuid, Standing>, DbErr>;
    /// What in the books does not add up. `read` hears of reservations that were read.
    async fn wrong(&self, db: &DatabaseTransaction, read: &mut (dyn FnMut(u64) + Send)) -> Result<Vec<String>, DbErr>;
}

/// Hears of what is found, and of how far it is.
pub trait Listener: Send {
    /// There are so many sagas.
    fn begins(&mut self, sagas: u64);
    fn found(&mut self, violation: Violation);
    fn checked(&mut self, so_far: Checked);
}

/// Checks a database from one snapshot of it.
///
/// # Errors
/// If it cannot be read at all. A row that cannot be understood is a violation.
pub async fn check(
    db: &DatabaseConnection,
    books: &dyn Books,
    listener: &mut dyn Listener,
) -> Result<Checked, Unchecked> {
    let snapshot = Snapshot::take(db).await?;
    listener.begins(snapshot.sagas_in_all().await?);
    let mut checked = Checked::default();
    sagas::check(&snapshot, books, listener, &mut checked).await?;
    tables::check(&snapshot, books, listener, &mut checked).await?;
    snapshot.close().await?;
    Ok(checked)
}
