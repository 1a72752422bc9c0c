//! What is stored for good, and the transactions of which that is not yet known. Every batch that is stored is shown
//! to the judge.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::Batch;
use orchestrator::store::{Committed, Result, Store, StoreError};
use saga_model::SagaId;
use saga_model::history::RowKind;
use saga_model::ids::ShardId;

use super::bugs::Bug;
use super::fault::Fault;
use super::ground::{Ground, short};
use super::life::Life;
use super::spoil;

/// See the module.
pub struct Disk {
    pub memory: MemoryStore,
    ground: Arc<Ground>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Transactions whose connection broke and that have not ended.
    open: Vec<(Arc<Life>, Batch)>,
    /// A saga of which nothing can be stored but that this is so.
    poisoned: Option<SagaId>,
    /// Sagas that were stored by transactions of unknown outcome.
    fresh: BTreeSet<SagaId>,
}

impl Disk {
    pub fn new(ground: Arc<Ground>, memory: MemoryStore) -> Self {
        Self { memory, ground, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a batch, or not.
    pub fn commit(&self, life: &Life, batch: &Batch) -> Result<Committed> {
        if self.is_poisoned(batch) {
            return Err(StoreError::Refused("a saga of it is poisoned".to_owned()));
        }
        let spoilt = self.ground.bug.and_then(|bug| spoil::batch(bug, &self.ground, batch));
        let stored = spoilt.as_ref().unwrap_or(batch);
        if self.ground.has(Bug::AcknowledgedNotStored) && self.ground.chance().one_in(5) {
            return Ok(Committed::All);
        }
        let mut committed =
            self.memory.commit(stored).now_or_never().unwrap_or(Ok(Committed::All)).inspect_err(|error| {
                self.ground.tell(|| format!("{life} cannot commit: {error}"));
            })?;
        match (&committed, self.ground.bug) {
            (Committed::FenceLost(_), Some(Bug::FenceDropped)) => {
                let moved = spoil::past_the_fence(&self.memory, stored);
                committed = self.memory.commit(&moved).now_or_never().unwrap_or(Ok(Committed::All))?;
                if committed == Committed::All {
                    self.seen(life, &moved);
                    return Ok(committed);
                }
            }
            (Committed::FenceLost(_), Some(Bug::DeposedNotTold)) => return Ok(Committed::All),
            (Committed::RequestsWithdrawn(_), Some(Bug::WithdrawnApplied)) => {
                let without = Batch { answers: Vec::new(), ..stored.clone() };
                committed = self.memory.commit(&without).now_or_never().unwrap_or(Ok(Committed::All))?;
            }
            (_, _) => {}
        }
        if committed == Committed::All {
            self.seen(life, stored);
        } else {
            self.ground.tell(|| format!("{} cannot commit: {committed:?}", life));
        }
        Ok(committed)
    }

    fn seen(&self, life: &Life, batch: &Batch) {
        self.ground.tell(|| spoil::words(life, batch));
        self.ground.oracle().stored(&self.ground, life, batch);
    }

    /// A batch was stored, and its owner does not know.
    pub fn unsure(&self, batch: &Batch) {
        self.lock().fresh.extend(batch.inserts.iter().map(|write| write.record.saga.id));
    }

    /// The connection broke, and the transaction goes on.
    pub fn leave_open(&self, life: &Arc<Life>, batch: &Batch) {
        self.lock().open.push((Arc::clone(life), batch.clone()));
    }

    pub fn has_open(&self) -> bool {
        !self.lock().open.is_empty()
    }

    /// Open transactions that hold a shard end, one way or the other: whoever takes the shard has waited for them.
    pub fn close(&self, shard: ShardId) {
        self.close_those(|batch| batch.shards.iter().any(|update| update.shard == shard));
    }

    /// All open transactions end, one way or the other.
    pub fn close_all(&self) {
        self.close_those(|_| true);
    }

    fn close_those(&self, which: impl Fn(&Batch) -> bool) {
        let ending: Vec<_> = self.lock().open.extract_if(.., |(_, batch)| which(batch)).collect();
        for (life, batch) in ending {
            let stored = self.ground.chance().one_in(2);
            self.ground
                .tell(|| format!("an open transaction of {life} ends: {}", if stored { "stored" } else { "lost" }));
            if stored {
                self.unsure(&batch);
                // It may have been refused: its owner does not hear of that either.
                let _unknown = self.commit(&life, &batch);
            }
        }
    }

    /// Whether these are sagas whose storing their owner is not sure of.
    pub fn is_new(&self, ids: &[SagaId]) -> bool {
        let state = self.lock();
        ids.iter().any(|id| state.fresh.contains(id))
    }

    /// A poisoned saga stays so until it is stuck, or was not stored at all.
    fn is_poisoned(&self, batch: &Batch) -> bool {
        let sagas = || batch.inserts.iter().chain(&batch.updates).map(|write| write.record.saga.id);
        let mut state = self.lock();
        if state.poisoned.is_none() && sagas().next().is_some() && self.ground.hit(Fault::Poison) {
            let at = self.ground.chance().rng.usize(..sagas().count());
            state.poisoned = sagas().nth(at);
        }
        let Some(poisoned) = state.poisoned.filter(|poisoned| sagas().any(|saga| saga == *poisoned)) else {
            return false;
        };
        let failed = batch.history.iter().any(|row| row.saga == poisoned && row.row.kind == RowKind::EngineFailed);
        let alone = sagas().count() == 1;
        if failed || (alone && !batch.inserts.is_empty()) {
            state.poisoned = None;
        }
        if !failed {
            self.ground.tell(|| format!("nothing of saga {} can be stored", short(poisoned)));
        }
        !failed
    }
}
