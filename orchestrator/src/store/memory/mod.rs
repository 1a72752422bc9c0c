//! Sagas in memory, for simulations and tests: what the databases do, by a clock that can be set.
//!
//! Clones share the content, so an engine can be dropped and another one started on what it left.

mod letters;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use uuid::Uuid;

use super::rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, LiveSaga, Page, RequestStatus, SagaRecord, ShardGrant,
    ShardUpdate, Untaken, Verdict,
};
use super::{Committed, InstanceId, Membership, Result, Store};
use state::State;

/// What gives the store its time.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// The store in memory.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    shards: ShardCount,
    clock: Clock,
}

impl MemoryStore {
    /// An empty store with that many shards.
    pub fn new(shards: ShardCount, clock: Clock) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(shards))), shards, clock }
    }

    /// The marks of all shards as they are stored, each with the shard's present epoch: for tests.
    pub fn marks(&self) -> Vec<ShardUpdate> {
        let state = self.lock();
        state.shards.values().map(|shard| ShardUpdate { epoch: shard.epoch, ..shard.marks.clone() }).collect()
    }

    /// A live saga that whoever takes its shard would not find: for tests.
    pub fn lost(&self) -> Option<SagaId> {
        let state = self.lock();
        let live = state.sagas.values().filter(|write| !write.record.saga.phase.is_final());
        live.filter(|write| !state.finds(write, self.shards)).map(|write| write.record.saga.id).next()
    }

    /// A panic while it was locked has left nothing half done: changes are made only after all checks.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a list that a page shows.
fn page<T>(list: impl Iterator<Item = T>, offset: u64, limit: u64) -> Vec<T> {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    list.skip(size(offset)).take(size(limit)).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId> {
        self.lock().pin(definition)
    }

    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>> {
        let definitions = self.lock().definitions.clone();
        Ok((1..).map(DefinitionId).zip(definitions).collect())
    }

    async fn shard_count(&self) -> Result<ShardCount> {
        Ok(self.shards)
    }

    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership> {
        Ok(self.lock().heartbeat(instance, lease, (self.clock)()))
    }

    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>> {
        Ok(self.lock().take_shard(shard, instance, lease, (self.clock)()))
    }

    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()> {
        self.lock().free(|stored| stored.shard == shard && stored.epoch == epoch);
        Ok(())
    }

    async fn leave(&self, instance: &InstanceId) -> Result<()> {
        let mut state = self.lock();
        state.instances.remove(instance);
        state.free(|stored| stored.owner.as_ref() == Some(&instance.0));
        Ok(())
    }

    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage> {
        let state = self.lock();
        let live = state.sagas.values().filter(|write| {
            let saga = &write.record.saga;
            let ours = saga.id.slot().shard(self.shards) == shard && after.is_none_or(|id| saga.id > id);
            ours && !saga.phase.is_final() && state.finds(write, self.shards)
        });
        let live = live.map(|write| LiveSaga { record: write.record.clone(), lingering: write.lingering });
        let sagas: Vec<LiveSaga> = live.take(limit).collect();
        let next = sagas.last().filter(|_| sagas.len() == limit).map(|live| live.record.saga.id);
        Ok(LivePage { sagas, next })
    }

    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
        let state = self.lock();
        let rows = state.rows.get(&shard).into_iter().flatten().filter(|row| row.shard_seq > after);
        Ok(rows.take(limit).cloned().collect())
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed> {
        self.lock().commit(batch)
    }

    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
        let state = self.lock();
        let wanted: std::collections::BTreeSet<&SagaId> = ids.iter().collect();
        Ok(wanted.into_iter().filter_map(|id| state.sagas.get(id)).map(|write| write.record.clone()).collect())
    }

    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>> {
        let state = self.lock();
        let rows = state.history.range((saga, 0)..=(saga, u32::MAX));
        Ok(rows.filter_map(|(_, at)| state.row(*at)).cloned().collect())
    }

    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
        let state = self.lock();
        let orders = || {
            let records = state.sagas.values().rev().map(|write| &write.record);
            records.filter(|record| record.origin.user_id == Some(user))
        };
        Ok(Page { items: page(orders().cloned(), offset, limit), total: orders().count() as u64 })
    }

    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
        Ok(self.lock().keys.get(key).cloned())
    }

    async fn untaken(&self, shard: ShardId) -> Result<Untaken> {
        Ok(self.lock().shards.get(&shard).map(|stored| stored.marks.untaken.clone()).unwrap_or_default())
    }

    async fn put_request(&self, request: &AdminRequest) -> Result<()> {
        self.lock().put_request(request)
    }

    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
        let state = self.lock();
        let pending = state.requests.values().filter(|request| {
            request.status == RequestStatus::Pending && request.shard.is_some_and(|shard| shards.contains(&shard))
        });
        Ok(pending.cloned().collect())
    }

    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
        let state = self.lock();
        let wanted: std::collections::BTreeSet<&Uuid> = requests.iter().collect();
        let stored = wanted.into_iter().filter_map(|id| state.requests.get(id));
        let answered = stored.filter(|request| matches!(request.status, RequestStatus::Done | RequestStatus::Refused));
        Ok(answered
            .map(|request| AdminAnswer {
                request: request.id,
                status: request.status,
                code: request.code.clone(),
                detail: request.detail.clone(),
            })
            .collect())
    }

    async fn withdraw_request(&self, request: Uuid) -> Result<bool> {
        let mut state = self.lock();
        let pending = state.requests.get_mut(&request).filter(|request| request.status == RequestStatus::Pending);
        Ok(pending.map(|request| request.status = RequestStatus::Withdrawn).is_some())
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
        Ok(page(self.lock().audit(filter).cloned(), 0, filter.limit))
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage> {
        Ok(self.lock().letters(filter))
    }

    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        Ok(self.lock().dead_letters.get(&id).cloned())
    }

    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool> {
        Ok(self.lock().claim_letter(claim, now))
    }

    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        self.lock().close_letter(claim, verdict)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
