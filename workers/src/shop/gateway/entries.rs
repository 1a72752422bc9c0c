//! The books of the gateway: table `payment_entry`. An entry is written once and never changed.
//!
//! A capture and the void that keeps it out are written under the same key, so the table lets in one of the two,
//! whoever comes first.

pub(in crate::shop) mod entity;
mod postgres;
mod sqlite;

use std::collections::HashSet;

use saga_model::micros::Micros;
use saga_model::money::Amount;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::{Charge, Refund};
use crate::participant::EffectKey;
use crate::sql::{Db, Pool};
use crate::trouble::Trouble;

/// What an entry is, with the code under which it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum EntryKind {
    Capture = 0,
    Void = 1,
    Refund = 2,
}

impl EntryKind {
    pub(in crate::shop) fn from_code(code: i16) -> Result<Self, Trouble> {
        [Self::Capture, Self::Void, Self::Refund]
            .into_iter()
            .find(|kind| *kind as i16 == code)
            .ok_or_else(|| Trouble::Poison(format!("payment_entry holds the unknown kind {code}")))
    }
}

/// A capture or a void.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: EffectKey,
    pub order: Uuid,
    pub kind: EntryKind,
    /// In hundredths; 0 of a void.
    pub minor: u64,
    pub currency: String,
    pub at: Micros,
}

impl Entry {
    pub fn capture(charge: &Charge) -> Self {
        Self {
            key: charge.key.clone(),
            order: charge.order,
            kind: EntryKind::Capture,
            minor: charge.amount.minor(),
            currency: charge.currency.clone(),
            at: service::time::now(),
        }
    }

    pub fn void(key: &EffectKey, order: Uuid) -> Self {
        let (kind, minor, currency) = (EntryKind::Void, 0, String::new());
        Self { key: key.clone(), order, kind, minor, currency, at: service::time::now() }
    }
}

/// Money that moved, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub order: Uuid,
    pub kind: EntryKind,
    pub amount: Amount,
    pub currency: String,
    pub at: Micros,
}

/// The books.
#[derive(Debug, Clone)]
pub struct Entries {
    db: Db,
}

impl Entries {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Writes entries, each unless there is one under its key; `new` if none is expected there. What stands under each key
    /// then.
    pub(super) async fn add(&self, entries: &[Entry], new: bool) -> Result<Vec<EntryKind>, Trouble> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        match &self.db.pool {
            Pool::Postgres(pool) => postgres::add(pool, entries, new).await,
            Pool::Sqlite(pool) => sqlite::add(pool, entries).await,
        }
    }

    /// Writes a refund beside every capture of these steps that has none. Whether there was a capture.
    pub(super) async fn refund(&self, refunds: &[&Refund]) -> Result<Vec<bool>, Trouble> {
        if refunds.is_empty() {
            return Ok(Vec::new());
        }
        match &self.db.pool {
            Pool::Postgres(pool) => postgres::refund(pool, refunds).await,
            Pool::Sqlite(pool) => sqlite::refund(pool, refunds).await,
        }
    }

    /// Captures and refunds of an order, oldest first.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn of_order(&self, order: Uuid) -> Result<Vec<Moved>, Trouble> {
        use entity::Column;
        // An order is its saga: the primary key finds it. Only a foreign order id is looked up by itself.
        let own = Condition::all().add(Column::SagaId.eq(order)).add(Column::OrderId.eq(order));
        let foreign = Condition::all()
            .add(Column::OrderId.eq(order))
            .add(Expr::col(Column::OrderId).ne(Expr::col(Column::SagaId)));
        let mut rows = Vec::new();
        for of_order in [own, foreign] {
            let query = entity::Entity::find().filter(of_order).filter(Column::Kind.ne(EntryKind::Void as i16));
            rows.extend(query.order_by_asc(Column::At).all(self.db.connection()).await?);
        }
        rows.sort_by_key(|row| (row.at, row.side));
        rows.into_iter().map(Moved::try_from).collect()
    }
}

impl TryFrom<entity::Model> for Moved {
    type Error = Trouble;
    fn try_from(row: entity::Model) -> Result<Self, Trouble> {
        let amount = u64::try_from(row.amount).ok().and_then(Amount::from_minor);
        let strange = || Trouble::Poison(format!("payment_entry of saga {} holds no amount", row.saga_id));
        Ok(Self {
            order: row.order_id,
            kind: EntryKind::from_code(row.kind)?,
            amount: amount.ok_or_else(strange)?,
            currency: row.currency,
            at: Micros(row.at),
        })
    }
}

/// A round as it is stored. The wire has none above 2^31-1.
fn stored_round(round: u32) -> i32 {
    i32::try_from(round).unwrap_or(i32::MAX)
}

/// An amount as it is stored; there is none above 10^11.
fn stored_amount(minor: u64) -> i64 {
    i64::try_from(minor).unwrap_or(i64::MAX)
}

/// Which steps are among `found`.
fn among(refunds: &[&Refund], found: &[(Uuid, String)]) -> Vec<bool> {
    let found: HashSet<(Uuid, &str)> = found.iter().map(|(saga, step)| (*saga, step.as_str())).collect();
    refunds.iter().map(|refund| found.contains(&(refund.saga.uuid(), &*refund.step))).collect()
}
