//! Stock: units on the shelf, set apart for orders, and sold.
//!
//! `on_hand = available + reserved + sold`, in every answer and on every road. The numbers and the reservations are
//! rows in SQL, changed together in one transaction, which is the last word: the table itself refuses to promise a
//! unit twice. In front of it Redis admits, a batch in one atomic call, so that orders that cannot be served never
//! reach the rows. Redis may forget everything at any time: see `redis.rs` and `rebuild.rs`.
//! `saga dev` does without Redis ([`sql`]).

pub mod memory;
pub mod sql;

mod books;
mod rebuild;
mod redis;

pub(in crate::shop) mod entity;
pub(in crate::shop) mod shelf;

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::SagaId;
use service::problem::Code;
use uuid::Uuid;

pub use self::redis::{CannotStock, RedisStock};
pub use shelf::{Level, Line, Reserved};

use crate::audit::{AuditOutcome, AuditRecord};
use crate::participant::EffectKey;
use crate::trouble::Trouble;

/// What an order wants set apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub key: EffectKey,
    /// Each product once, each quantity above 0.
    pub lines: Arc<[Line]>,
    /// Whether this reservation may have been begun before.
    pub repeated: bool,
}

impl Change {
    /// The action that audit records name.
    pub const ACTION: &str = "set-stock";

    /// The record of what came of it.
    fn record(&self, changed: &Changed) -> AuditRecord {
        let (outcome, level) = match changed {
            Changed::Done(level) => (AuditOutcome::Done, level),
            Changed::Committed(level) => (AuditOutcome::Refused(Code::StockCommitted.as_str()), level),
        };
        let Level { sku, on_hand, reserved, sold } = level;
        let detail = format!(
            "product {sku}: {} units asked for; {on_hand} on hand, {reserved} reserved, {sold} sold",
            self.on_hand
        );
        AuditRecord {
            id: Uuid::now_v7(),
            at: service::time::now(),
            actor: self.actor.clone(),
            action: Self::ACTION,
            reason: Some(self.reason.clone()),
            outcome,
            detail: Some(detail),
        }
    }
}

/// A step of a saga: all rounds of its reservation.
pub type StepKey = (SagaId, Arc<str>);

/// An operator says how many units of a product were ever put on the shelf.
#[derive(Debug, Clone)]
pub struct Change {
    pub sku: Uuid,
    /// 0 to [`MAX_ON_HAND`].
    pub on_hand: i64,
    pub actor: Option<String>,
    pub reason: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Done(Level),
    /// More units than that are reserved or sold; nothing was changed.
    Committed(Level),
}

/// The largest number of units of a product: below it every number is exact, in Lua (whose numbers are doubles) too.
pub const MAX_ON_HAND: i64 = 1 << 52;

/// Units of products, and reservations of them, each under its key. One suite of tests for every kind.
#[async_trait]
pub trait Stock: Send + Sync + 'static {
    /// Sets units apart, for each want all lines or none. A reservation that stands is found again.
    ///
    /// # Errors
    /// [`Trouble`]; then some of the wants may have been served.
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble>;

    /// Whether these reservations stand. One that does not, never will.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble>;

    /// Puts back what is set apart or sold for these steps. Whether there was something, also if it was put back before.
    ///
    /// # Errors
    /// [`Trouble`]; then some may have been put back.
    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble>;

    /// Turns what is set apart for these sagas into sold. What was put back or sold before is left alone.
    ///
    /// # Errors
    /// [`Trouble`]; then some may have been sold.
    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble>;

    /// How many units of a product there are; `None` if nobody ever heard of it.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble>;

    /// The products after `after` in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble>;

    /// Changes how many units there are, and leaves an audit record with it, refused or not.
    ///
    /// # Errors
    /// [`Trouble`]; then neither was stored.
    async fn set(&self, change: &Change) -> Result<Changed, Trouble>;
}
