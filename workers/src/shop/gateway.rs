//! The payment gateway, as the payment worker sees it.
//!
//! A gateway takes an idempotency key with every charge and charges once per key. That alone is enough for a worker
//! that may die at any moment: it asks again under the same key.

pub mod entries;
pub mod simulated;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::money::Amount;
use saga_model::state::Failure;
use std::sync::Arc;
use uuid::Uuid;

use crate::participant::EffectKey;
use crate::trouble::Trouble;
pub use simulated::{Method, SimulatedGateway};

/// Money to capture.
#[derive(Debug, Clone)]
pub struct Charge {
    pub key: EffectKey,
    pub order: Uuid,
    pub amount: Amount,
    pub currency: String,
    pub method: Method,
    /// The attempt of the command: the simulated gateway has moods that last for some attempts.
    pub attempt: u32,
}

/// What became of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    Yes,
    /// Refused for good.
    Declined(Failure),
    /// Not now.
    Retry(Failure),
}

/// A charge that nobody knows the outcome of.
#[derive(Debug, Clone)]
pub struct Doubt {
    pub key: EffectKey,
    pub order: Uuid,
}

/// Money to give back: whatever was captured for a step.
#[derive(Debug, Clone)]
pub struct Refund {
    pub saga: SagaId,
    pub step: Arc<str>,
    pub method: Method,
    pub attempt: u32,
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refunded {
    /// Nothing captured stands; whether something was.
    Done { was_there: bool },
    /// Not now.
    Retry(Failure),
}

/// Charges and gives back. Every call may be repeated: the keys make it happen once.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Captures each amount, once per key.
    ///
    /// # Errors
    /// [`Trouble`]; then some may be captured.
    async fn capture(&self, charges: &[Charge]) -> Result<Vec<Captured>, Trouble>;

    /// Whether the charges with these keys were captured. One that was not, never will be.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn settle(&self, doubts: &[Doubt]) -> Result<Vec<bool>, Trouble>;

    /// Gives back what was captured, once per capture.
    ///
    /// # Errors
    /// [`Trouble`]; then some may be given back.
    async fn refund(&self, refunds: &[Refund]) -> Result<Vec<Refunded>, Trouble>;
}
