//! Stock: the real one in memory, behind a fast memory of what is available that may forget everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use saga_model::SagaId;
use uuid::Uuid;
use workers::participant::EffectKey;
use workers::shop::stock::memory::MemoryStock;
use workers::shop::stock::{Change, Changed, Level, Reserved, StepKey, Stock, Want};
use workers::trouble::Trouble;

use super::bugs::Bug;
use super::fault::Fault;
use super::ground::Ground;

/// Units of each product that were ever on the shelf.
pub const ON_HAND: i64 = 2;

/// See [`Stock`].
pub struct Shelf {
    ground: Arc<Ground>,
    rows: MemoryStock,
    /// What is available, as far as it is remembered.
    fast: Mutex<BTreeMap<Uuid, i64>>,
}

impl Shelf {
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground, rows: MemoryStock::new(Some(ON_HAND)), fast: Mutex::default() }
    }

    fn fast(&self) -> MutexGuard<'_, BTreeMap<Uuid, i64>> {
        self.fast.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All products, for the judge.
    pub fn all(&self) -> Vec<Level> {
        self.rows.levels(None, u64::MAX).now_or_never().and_then(Result::ok).unwrap_or_default()
    }

    /// The fast memory is emptied.
    fn forget(&self) {
        self.fast().clear();
    }

    async fn learn(&self, skus: impl Iterator<Item = Uuid>) -> Result<(), Trouble> {
        for sku in skus {
            if let Some(level) = self.rows.level(sku).await? {
                self.fast().insert(sku, level.available());
            }
        }
        Ok(())
    }

    /// A product that the fast memory has forgotten is promised as if nobody had taken a unit.
    async fn promise_again(&self, want: &Want) -> Result<(), Trouble> {
        for line in want.lines.iter() {
            if let Some(level) = self.rows.level(line.sku).await?
                && level.available() < i64::from(line.quantity)
            {
                let (actor, reason) = (None, "a bug".to_owned());
                let on_hand = level.on_hand + i64::from(line.quantity);
                self.rows.set(&Change { sku: line.sku, on_hand, actor, reason }).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Stock for Shelf {
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble> {
        let emptied = self.ground.hit(Fault::StockEmptied);
        if emptied {
            self.forget();
        }
        let mut reserved = Vec::with_capacity(wants.len());
        for want in wants {
            let short = want.lines.iter().find_map(|line| {
                let available = *self.fast().get(&line.sku)?;
                (available < i64::from(line.quantity)).then_some(Reserved::Short { line: *line, available })
            });
            if let (Some(short), false) = (short, want.repeated) {
                reserved.push(short);
                continue;
            }
            if emptied && self.ground.has(Bug::EmptiedStockPromised) {
                self.promise_again(want).await?;
            }
            reserved.extend(self.rows.reserve(std::slice::from_ref(want)).await?);
            self.learn(want.lines.iter().map(|line| line.sku)).await?;
        }
        Ok(reserved)
    }

    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
        self.rows.settle(keys).await
    }

    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble> {
        if self.ground.has(Bug::StockNotReleased) {
            return Ok(steps.iter().map(|_| true).collect());
        }
        let released = self.rows.release(steps).await;
        self.forget();
        released
    }

    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        self.rows.sell(sagas).await
    }

    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble> {
        self.rows.level(sku).await
    }

    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
        self.rows.levels(after, limit).await
    }

    async fn set(&self, change: &Change) -> Result<Changed, Trouble> {
        self.rows.set(change).await
    }
}
