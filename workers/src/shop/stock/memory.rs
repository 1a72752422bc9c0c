//! Stock in memory: what the others do, in its plainest form.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use saga_model::SagaId;
use uuid::Uuid;

use super::shelf::take;
use super::{Change, Changed, Level, Line, Reserved, StepKey, Stock, Want};
use crate::participant::EffectKey;
use crate::trouble::Trouble;

/// Stock that ends with the process.
#[derive(Debug)]
pub struct MemoryStock {
    /// How many units of a product there are that is asked for the first time; none if it is then unknown.
    default_stock: Option<i64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shelf: BTreeMap<Uuid, Level>,
    reservations: BTreeMap<EffectKey, Reservation>,
}

#[derive(Debug)]
struct Reservation {
    state: Standing,
    lines: Vec<Line>,
    /// Whether units were ever set apart for it.
    held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Reserved,
    Sold,
    Released,
}

impl MemoryStock {
    pub fn new(default_stock: Option<i64>) -> Self {
        Self { default_stock, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self, want: &Want, default_stock: Option<i64>) -> Reserved {
        match self.reservations.get(&want.key).map(|known| known.state) {
            Some(Standing::Reserved | Standing::Sold) => return Reserved::Yes,
            Some(Standing::Released) => return Reserved::KeptOut,
            None => {}
        }
        if let Some(on_hand) = default_stock {
            for Line { sku, .. } in want.lines.iter() {
                self.shelf.entry(*sku).or_insert(Level { sku: *sku, on_hand, reserved: 0, sold: 0 });
            }
        }
        if let Err(refused) = take(&mut self.shelf, &want.lines) {
            return refused;
        }
        let reservation = Reservation { state: Standing::Reserved, lines: want.lines.to_vec(), held: true };
        self.reservations.insert(want.key.clone(), reservation);
        Reserved::Yes
    }

    fn change(&mut self, sku: Uuid, reserved: i64, sold: i64) {
        if let Some(level) = self.shelf.get_mut(&sku) {
            level.reserved += reserved;
            level.sold += sold;
        }
    }

    fn release(&mut self, (saga, step): &StepKey) -> bool {
        let (mut changes, mut held) = (Vec::new(), false);
        for (key, reservation) in &mut self.reservations {
            if key.saga == *saga && key.step == *step {
                held |= reservation.held;
                let of = |line: &Line| -i64::from(line.quantity);
                match reservation.state {
                    Standing::Reserved => changes.extend(reservation.lines.iter().map(|line| (line.sku, of(line), 0))),
                    Standing::Sold => changes.extend(reservation.lines.iter().map(|line| (line.sku, 0, of(line)))),
                    Standing::Released => {}
                }
                reservation.state = Standing::Released;
            }
        }
        changes.into_iter().for_each(|(sku, reserved, sold)| self.change(sku, reserved, sold));
        held
    }

    fn sell(&mut self, saga: SagaId) {
        let mut changes = Vec::new();
        for (key, reservation) in &mut self.reservations {
            if key.saga == saga && reservation.state == Standing::Reserved {
                reservation.state = Standing::Sold;
                changes.extend(reservation.lines.iter().map(|line| (line.sku, i64::from(line.quantity))));
            }
        }
        changes.into_iter().for_each(|(sku, quantity)| self.change(sku, -quantity, quantity));
    }
}

#[async_trait]
impl Stock for MemoryStock {
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble> {
        let mut state = self.lock();
        Ok(wants.iter().map(|want| state.reserve(want, self.default_stock)).collect())
    }

    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
        let mut state = self.lock();
        let kept_out = || Reservation { state: Standing::Released, lines: Vec::new(), held: false };
        let mut settle = |key: &EffectKey| state.reservations.entry(key.clone()).or_insert_with(kept_out).state;
        Ok(keys.iter().map(|key| settle(key) != Standing::Released).collect())
    }

    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble> {
        let mut state = self.lock();
        Ok(steps.iter().map(|step| state.release(step)).collect())
    }

    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        let mut state = self.lock();
        sagas.iter().for_each(|saga| state.sell(*saga));
        Ok(())
    }

    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble> {
        Ok(self.lock().shelf.get(&sku).copied())
    }

    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.lock().shelf.range((from, Bound::Unbounded)).map(|(_, level)| *level).take(limit).collect())
    }

    async fn set(&self, change: &Change) -> Result<Changed, Trouble> {
        let Change { sku, on_hand, .. } = *change;
        let mut state = self.lock();
        let level = state.shelf.entry(sku).or_insert(Level { sku, on_hand: 0, reserved: 0, sold: 0 });
        if level.reserved + level.sold > on_hand {
            return Ok(Changed::Committed(*level));
        }
        level.on_hand = on_hand;
        Ok(Changed::Done(*level))
    }
}
