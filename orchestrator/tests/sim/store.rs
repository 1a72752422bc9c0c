//! The database of one instance: the memory store, with all that can go wrong on the way to it.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, Page, SagaRecord, ShardGrant, Untaken, Verdict,
};
use orchestrator::store::{Committed, InstanceId, Membership, Result, Store, StoreError};
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::Millis;
use saga_model::{Definition, Micros, SagaId};
use uuid::Uuid;

use super::bugs::Bug;
use super::disk::Disk;
use super::fault::Fault;
use super::ground::Ground;
use super::life::Life;

/// See [`Store`].
pub struct SimStore {
    pub ground: Arc<Ground>,
    pub disk: Arc<Disk>,
    pub life: Arc<Life>,
}

fn away<T>() -> Result<T> {
    Err(StoreError::Unavailable("it is away".to_owned()))
}

fn broken<T>() -> Result<T> {
    Err(StoreError::OutcomeUnknown("the connection is gone".to_owned()))
}

impl SimStore {
    fn memory(&self) -> &MemoryStore {
        &self.disk.memory
    }

    /// A query on its way.
    async fn query(&self) -> Result<()> {
        if self.life.is_over() {
            return std::future::pending().await;
        }
        if self.ground.hit(Fault::QueryFails) {
            return away();
        }
        if self.ground.hit(Fault::SlowQuery) {
            self.life.wait().await;
        }
        Ok(())
    }
}

const BEFORE: &[Fault] = &[Fault::CrashBeforeCommit, Fault::CommitAway, Fault::UnknownLost, Fault::UnknownOpen];
const AFTER: &[Fault] = &[Fault::UnknownStored, Fault::CrashAfterCommit];

#[async_trait]
impl Store for SimStore {
    async fn commit(&self, batch: &Batch) -> Result<Committed> {
        if self.life.is_over() {
            return std::future::pending().await;
        }
        if self.ground.hit(Fault::SlowCommit) {
            self.life.wait().await;
        }
        match BEFORE.iter().copied().find(|fault| self.ground.hit(*fault)) {
            Some(Fault::CrashBeforeCommit) => return self.life.die().await,
            Some(Fault::CommitAway) => return away(),
            Some(Fault::UnknownLost) => return if self.ground.has(Bug::UnknownIsNo) { away() } else { broken() },
            Some(Fault::UnknownOpen) => {
                self.disk.leave_open(&self.life, batch);
                return if self.ground.has(Bug::UnknownIsNo) { away() } else { broken() };
            }
            Some(_) | None => {}
        }
        let committed = self.disk.commit(&self.life, batch)?;
        if committed != Committed::All {
            return Ok(committed);
        }
        match AFTER.iter().copied().find(|fault| self.ground.hit(*fault)) {
            Some(Fault::UnknownStored) => {
                self.disk.unsure(batch);
                return if self.ground.has(Bug::UnknownIsNo) { away() } else { broken() };
            }
            Some(Fault::CrashAfterCommit) => return self.life.die().await,
            Some(_) | None => {}
        }
        if self.ground.hit(Fault::SlowAnswer) {
            self.life.wait().await;
        }
        Ok(committed)
    }

    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId> {
        self.memory().pin_definition(definition).await
    }

    /// All are known from the start: copying them at every heartbeat would only take time.
    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>> {
        Ok(Vec::new())
    }

    async fn shard_count(&self) -> Result<ShardCount> {
        self.memory().shard_count().await
    }

    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership> {
        self.query().await?;
        self.memory().heartbeat(instance, lease).await
    }

    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>> {
        self.query().await?;
        self.disk.close(shard);
        let mut grant = self.memory().take_shard(shard, instance, lease).await?;
        if let Some(grant) = &mut grant {
            let ShardGrant { epoch, published, last_seq, reply_offset, .. } = grant;
            self.ground.tell(|| {
                format!("{} takes shard {shard} at epoch {epoch}: rows {published}..{last_seq} in doubt, replies from {reply_offset}", self.life)
            });
            if self.ground.has(Bug::RecoverySendsNothing) {
                *published = *last_seq;
            }
            if self.ground.has(Bug::RecoverySkipsReplies) {
                *reply_offset = self.ground.net().reply_end(shard);
            }
        }
        Ok(grant)
    }

    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()> {
        self.query().await?;
        self.ground.tell(|| format!("{} gives up shard {shard}", self.life));
        self.memory().release_shard(shard, epoch).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<()> {
        self.memory().leave(instance).await
    }

    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage> {
        self.query().await?;
        let mut live = self.memory().live_sagas(shard, after, limit).await?;
        if self.ground.has(Bug::RecoveryForgetsSaga) {
            live.sagas.pop();
        }
        if self.ground.has(Bug::RecoveryLoadsOldState) {
            live.sagas.iter_mut().for_each(|live| self.ground.oracle().as_it_was(&mut live.record));
        }
        Ok(live)
    }

    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
        self.query().await?;
        self.memory().rows_after(shard, after, limit).await
    }

    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
        self.query().await?;
        if self.ground.has(Bug::DoubtFindsNothing) && self.disk.is_new(ids) {
            return Ok(Vec::new());
        }
        self.memory().sagas(ids).await
    }

    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>> {
        self.memory().history(saga).await
    }

    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
        self.memory().orders_of(user, offset, limit).await
    }

    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
        self.query().await?;
        self.memory().key(key).await
    }

    async fn untaken(&self, shard: ShardId) -> Result<Untaken> {
        self.memory().untaken(shard).await
    }

    async fn put_request(&self, request: &AdminRequest) -> Result<()> {
        self.memory().put_request(request).await
    }

    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
        self.query().await?;
        self.memory().pending_requests(shards).await
    }

    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
        self.memory().answers(requests).await
    }

    async fn withdraw_request(&self, request: Uuid) -> Result<bool> {
        self.memory().withdraw_request(request).await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
        self.memory().audit(filter).await
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage> {
        self.memory().dead_letters(filter).await
    }

    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        self.memory().dead_letter(id).await
    }

    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool> {
        self.memory().claim_dead_letter(claim, now).await
    }

    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        self.memory().close_dead_letter(claim, verdict).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
