//! Stock on SQL alone, as `saga dev` has it: one transaction admits, sells or puts back a batch.

pub(in crate::shop) mod rows;

use std::collections::BTreeMap;

use async_trait::async_trait;
use saga_model::SagaId;
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use self::rows::State;
use super::shelf::{take, totals};
use super::{Change, Changed, Level, Reserved, StepKey, Stock, Want};
use crate::participant::EffectKey;
use crate::sql::Db;
use crate::trouble::Trouble;

/// Stock in the tables `stock` and `reservation`.
#[derive(Debug, Clone)]
pub struct SqlStock {
    db: Db,
    /// How many units of a product there are that is asked for the first time; none if it is then unknown.
    default_stock: Option<i64>,
}

impl SqlStock {
    pub fn new(db: Db, default_stock: Option<i64>) -> Self {
        Self { db, default_stock }
    }

    async fn admit(
        &self,
        db: &DatabaseTransaction,
        shelf: &mut BTreeMap<Uuid, Level>,
        want: &Want,
    ) -> Result<Reserved, Trouble> {
        match rows::reservation(db, &want.key).await?.map(|known| known.state) {
            Some(State::Reserved | State::Sold) => return Ok(Reserved::Yes),
            Some(State::Released) => return Ok(Reserved::KeptOut),
            None => {}
        }
        if let Err(refused) = take(shelf, &want.lines) {
            return Ok(refused);
        }
        rows::insert(db, &want.key, State::Reserved, &want.lines).await?;
        Ok(Reserved::Yes)
    }
}

#[async_trait]
impl Stock for SqlStock {
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble> {
        let db = self.db.begin().await?;
        let skus = totals(wants.iter().flat_map(|want| want.lines.iter()));
        let mut shelf = rows::locked_levels(&db, skus.keys().copied()).await?;
        if let Some(on_hand) = self.default_stock {
            for sku in skus.into_keys().filter(|sku| !shelf.contains_key(sku)).collect::<Vec<_>>() {
                rows::insert_level(&db, sku, on_hand).await?;
                shelf.extend(rows::locked_levels(&db, std::iter::once(sku)).await?);
            }
        }
        let before = shelf.clone();
        let mut answers = Vec::with_capacity(wants.len());
        for want in wants {
            answers.push(self.admit(&db, &mut shelf, want).await?);
        }
        store(&db, &before, &shelf).await?;
        db.commit().await?;
        Ok(answers)
    }

    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
        let db = self.db.begin().await?;
        let stand = settle(&db, keys).await?;
        db.commit().await?;
        Ok(stand)
    }

    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble> {
        let db = self.db.begin().await?;
        let mut lines = Vec::new();
        for (saga, step) in steps {
            let rounds = rows::reservations(&db, *saga, Some(step)).await?;
            lines.extend(rounds.into_iter().flat_map(|round| round.lines));
        }
        let mut shelf = rows::locked_levels(&db, totals(&lines).into_keys()).await?;
        let before = shelf.clone();
        let mut there = Vec::with_capacity(steps.len());
        for step in steps {
            let rounds = rows::release(&db, step, 0, &mut shelf).await?;
            there.push(rounds.iter().any(|round| round.held));
        }
        store(&db, &before, &shelf).await?;
        db.commit().await?;
        Ok(there)
    }

    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        let db = self.db.begin().await?;
        let mut sold = Vec::new();
        for saga in sagas {
            for round in rows::reservations(&db, *saga, None).await? {
                if round.state == State::Reserved {
                    rows::move_to(&db, &round.key, State::Sold, 0).await?;
                    sold.extend(round.lines);
                }
            }
        }
        let totals = totals(&sold);
        let before = rows::locked_levels(&db, totals.keys().copied()).await?;
        let mut shelf = before.clone();
        for (sku, quantity) in totals {
            if let Some(level) = shelf.get_mut(&sku) {
                level.reserved -= quantity;
                level.sold += quantity;
            }
        }
        store(&db, &before, &shelf).await?;
        db.commit().await?;
        Ok(())
    }

    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble> {
        rows::level(self.db.connection(), sku).await
    }

    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
        rows::levels(self.db.connection(), after, limit).await
    }

    async fn set(&self, change: &Change) -> Result<Changed, Trouble> {
        let db = self.db.begin().await?;
        let changed = set(&db, change).await?;
        db.commit().await?;
        Ok(changed)
    }
}

/// Stores the levels that have changed.
async fn store(
    db: &DatabaseTransaction,
    before: &BTreeMap<Uuid, Level>,
    after: &BTreeMap<Uuid, Level>,
) -> Result<(), Trouble> {
    for (sku, level) in after {
        if before.get(sku) != Some(level) {
            rows::update_level(db, level).await?;
        }
    }
    Ok(())
}

/// Whether each of these reservations stands; those that do not are kept out for ever.
pub(super) async fn settle(db: &DatabaseTransaction, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
    let mut stand = Vec::with_capacity(keys.len());
    for key in keys {
        rows::insert(db, key, State::Released, &[]).await?;
        let known = rows::reservation(db, key).await?;
        stand.push(known.is_some_and(|known| known.state != State::Released));
    }
    Ok(stand)
}

/// Changes how many units there are, and records it.
pub(super) async fn set(db: &DatabaseTransaction, change: &Change) -> Result<Changed, Trouble> {
    let Change { sku, on_hand, .. } = *change;
    rows::insert_level(db, sku, 0).await?;
    let mut levels = rows::locked_levels(db, std::iter::once(sku)).await?;
    let lost = || Trouble::Poison(format!("the row of product {sku} vanished in its own transaction"));
    let level = levels.remove(&sku).ok_or_else(lost)?;
    let changed = if level.reserved + level.sold > on_hand {
        Changed::Committed(level)
    } else {
        let level = Level { on_hand, ..level };
        rows::update_level(db, &level).await?;
        Changed::Done(level)
    };
    change.record(&changed).store(db).await?;
    Ok(changed)
}
