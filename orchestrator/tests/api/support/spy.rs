//! A store that is watched, and may be away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use async_trait::async_trait;
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, Page, RequestStatus, SagaRecord, ShardGrant, ShardUpdate, Untaken,
    Verdict,
};
use orchestrator::store::{Committed, InstanceId, Membership, Result, Store, StoreError};
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use uuid::Uuid;

pub struct Spy {
    inner: MemoryStore,
    requests: Mutex<Vec<AdminRequest>>,
    started: Mutex<Vec<SagaId>>,
    standing: AtomicU8,
    /// Requests to owners are not seen by them.
    deaf: AtomicBool,
    judge: Mutex<Judge>,
    reply_marks: Mutex<Vec<i64>>,
    /// What happens to the next saga that is to be stored.
    next_start: AtomicU8,
    /// No saga can be read.
    unreadable: AtomicBool,
    /// Somebody else owns all shards.
    deposed: AtomicBool,
    /// How often a shard was asked for.
    takes: AtomicUsize,
    /// The next batch that flags something is said to be stored, and is not.
    loses_flags: AtomicBool,
    /// The first shard cannot be loaded.
    unloadable: AtomicBool,
    /// The second shard takes a while to load.
    slow: AtomicBool,
}

/// What a test says to a batch before it is stored.
type Judge = Box<dyn Fn(&Batch) -> Result<()> + Send>;

const UP: u8 = 0;
const AWAY: u8 = 1;
const SILENT: u8 = 2;

const STORED: u8 = 0;
const STORED_AND_CUT_OFF: u8 = 1;
const LOST: u8 = 2;

impl Spy {
    /// The next batch that flags something and has no rows is lost, as by a failover to a server that was behind.
    pub fn lose_flags(&self) {
        self.loses_flags.store(true, Ordering::SeqCst);
    }

    /// Whether that has not happened yet.
    pub fn loses_flags(&self) -> bool {
        self.loses_flags.load(Ordering::SeqCst)
    }

    /// The live sagas of shard 0 cannot be read any more.
    pub fn unloadable(&self) {
        self.unloadable.store(true, Ordering::SeqCst);
    }

    /// From now on shard 1 takes a few turns of the loop to load.
    pub fn slow(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    /// A live saga that a takeover would not find.
    pub fn lost(&self) -> Option<SagaId> {
        self.inner.lost()
    }

    /// The marks of all shards, as they are stored.
    pub fn marks(&self) -> Vec<ShardUpdate> {
        self.inner.marks()
    }

    pub fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            requests: Mutex::default(),
            started: Mutex::default(),
            standing: AtomicU8::new(UP),
            deaf: AtomicBool::new(false),
            judge: Mutex::new(Box::new(|_| Ok(()))),
            reply_marks: Mutex::default(),
            next_start: AtomicU8::new(STORED),
            unreadable: AtomicBool::new(false),
            deposed: AtomicBool::new(false),
            takes: AtomicUsize::new(0),
            loses_flags: AtomicBool::new(false),
            unloadable: AtomicBool::new(false),
            slow: AtomicBool::new(false),
        }
    }

    /// From now on every batch is judged so.
    pub fn judge(&self, judge: impl Fn(&Batch) -> Result<()> + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// The reply marks of the batch stored last, by shard.
    pub fn reply_marks(&self) -> Vec<i64> {
        self.reply_marks.lock().unwrap().clone()
    }

    /// From now on every question is refused.
    pub fn away(&self) {
        self.standing.store(AWAY, Ordering::SeqCst);
    }

    /// From now on no question is answered.
    pub fn silent(&self) {
        self.standing.store(SILENT, Ordering::SeqCst);
    }

    /// It answers again.
    pub fn back(&self) {
        self.standing.store(UP, Ordering::SeqCst);
    }

    /// From now on no owner sees what operators ask for.
    pub fn deaf(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// The next saga is stored, and the connection breaks before that is said.
    pub fn cut_off_next_start(&self) {
        self.next_start.store(STORED_AND_CUT_OFF, Ordering::SeqCst);
    }

    /// The next saga is said to be stored, and is not, as after a failover to a standby that was behind.
    pub fn lose_next_start(&self) {
        self.next_start.store(LOST, Ordering::SeqCst);
    }

    /// From now on the row of no saga can be read.
    pub fn unreadable(&self) {
        self.unreadable.store(true, Ordering::SeqCst);
    }

    /// From now on somebody else owns all shards.
    pub fn depose(&self) {
        self.deposed.store(true, Ordering::SeqCst);
    }

    /// How often a shard was asked for.
    pub fn takes(&self) -> usize {
        self.takes.load(Ordering::SeqCst)
    }

    /// How many sagas were stored.
    pub fn started(&self) -> usize {
        self.started.lock().unwrap().len()
    }

    /// The audit, oldest first.
    pub fn audit(&self) -> Vec<AdminRequest> {
        self.requests.lock().unwrap().clone()
    }

    async fn check(&self) -> Result<()> {
        match self.standing.load(Ordering::SeqCst) {
            UP => Ok(()),
            AWAY => Err(StoreError::Unavailable("connection refused".to_owned())),
            _ => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Store for Spy {
    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId> {
        self.inner.pin_definition(definition).await
    }

    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>> {
        self.check().await?;
        self.inner.definitions().await
    }

    async fn shard_count(&self) -> Result<ShardCount> {
        self.inner.shard_count().await
    }

    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership> {
        self.check().await?;
        self.inner.heartbeat(instance, lease).await
    }

    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>> {
        // Whoever asks without a pause would keep the time from passing.
        if self.takes.fetch_add(1, Ordering::SeqCst) > 1_000 {
            std::future::pending::<()>().await;
        }
        self.check().await?;
        if self.deposed.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.inner.take_shard(shard, instance, lease).await
    }

    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()> {
        self.check().await?;
        self.inner.release_shard(shard, epoch).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<()> {
        self.inner.leave(instance).await
    }

    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage> {
        self.check().await?;
        if self.unloadable.load(Ordering::SeqCst) && shard == ShardId(0) {
            return Err(StoreError::Unavailable("no answer in time".to_owned()));
        }
        if self.slow.load(Ordering::SeqCst) && shard == ShardId(1) {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        self.inner.live_sagas(shard, after, limit).await
    }

    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
        self.check().await?;
        self.inner.rows_after(shard, after, limit).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed> {
        self.check().await?;
        (self.judge.lock().unwrap())(batch)?;
        if !batch.lingering.is_empty() && batch.history.is_empty() && self.loses_flags.swap(false, Ordering::SeqCst) {
            return Ok(Committed::All);
        }
        let fate = if batch.inserts.is_empty() { STORED } else { self.next_start.swap(STORED, Ordering::SeqCst) };
        if fate == LOST {
            return Ok(Committed::All);
        }
        if self.deposed.load(Ordering::SeqCst) {
            return Ok(Committed::FenceLost((0..self.inner.shard_count().await?.get()).map(ShardId).collect()));
        }
        // Held over the commit, so that whoever sees the saga sees it counted.
        let committed = self.inner.commit(batch).await?;
        if committed == Committed::All {
            *self.reply_marks.lock().unwrap() = batch.shards.iter().map(|update| update.reply_offset).collect();
            self.started.lock().unwrap().extend(batch.inserts.iter().map(|write| write.record.saga.id));
            let mut requests = self.requests.lock().unwrap();
            for answer in &batch.answers {
                let request = requests.iter_mut().find(|request| request.id == answer.request).unwrap();
                request.status = answer.status;
                request.code.clone_from(&answer.code);
                request.detail.clone_from(&answer.detail);
            }
        }
        if fate == STORED_AND_CUT_OFF {
            return Err(StoreError::OutcomeUnknown("connection reset".to_owned()));
        }
        Ok(committed)
    }

    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
        self.check().await?;
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(StoreError::Refused("a row cannot be read".to_owned()));
        }
        self.inner.sagas(ids).await
    }

    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>> {
        self.check().await?;
        self.inner.history(saga).await
    }

    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
        self.check().await?;
        self.inner.orders_of(user, offset, limit).await
    }

    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
        self.check().await?;
        self.inner.key(key).await
    }

    async fn untaken(&self, shard: ShardId) -> Result<Untaken> {
        self.check().await?;
        self.inner.untaken(shard).await
    }

    async fn put_request(&self, request: &AdminRequest) -> Result<()> {
        self.check().await?;
        self.requests.lock().unwrap().push(request.clone());
        self.inner.put_request(request).await
    }

    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
        self.check().await?;
        if self.deaf.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.pending_requests(shards).await
    }

    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
        self.check().await?;
        self.inner.answers(requests).await
    }

    async fn withdraw_request(&self, request: Uuid) -> Result<bool> {
        self.check().await?;
        let withdrawn = self.inner.withdraw_request(request).await?;
        if withdrawn {
            let mut requests = self.requests.lock().unwrap();
            requests.iter_mut().find(|known| known.id == request).unwrap().status = RequestStatus::Withdrawn;
        }
        Ok(withdrawn)
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
        self.check().await?;
        self.inner.audit(filter).await
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage> {
        self.check().await?;
        self.inner.dead_letters(filter).await
    }

    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        self.check().await?;
        self.inner.dead_letter(id).await
    }

    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool> {
        self.check().await?;
        self.inner.claim_dead_letter(claim, now).await
    }

    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        self.check().await?;
        let closed = self.inner.close_dead_letter(claim, verdict).await?;
        if closed && let Some((_, record)) = verdict.settles() {
            self.requests.lock().unwrap().push(record.clone());
        }
        Ok(closed)
    }

    async fn ping(&self) -> Result<()> {
        self.check().await
    }
}
