//! Sagas in Postgres.
//!
//! Three pools, so that however many ask from outside, the engine goes on: with all of its connections lent to requests
//! it could not recover from the load that lent them. *Commits* and leases run on the first, whose plans are pinned;
//! what the engine reads, on the second (*recovery*); the third is for *requests*.

mod columns;
mod commit;
mod ownership;
mod pool;
mod statements;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub use self::pool::PINNED_PLANS;
pub use self::statements::STORE;
use super::codec;
use super::rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, Page, SagaRecord, ShardGrant, Untaken, Verdict,
};
use super::sql::transaction::{self, End};
use super::sql::writes::LastWrites;
use super::sql::{audit, definitions, error, letters, operators, reads};
use super::{Committed, InstanceId, Membership, Result, Store, StoreError};

/// How long the database may take over anything but a COMMIT, waiting for a connection included. Longer than a frozen
/// transaction can keep a lock (see [`pool`]), shorter than the five seconds within which the outside is answered.
const PATIENCE: Duration = Duration::from_millis(4500);

/// The store on Postgres.
#[derive(Clone)]
pub struct PostgresStore {
    commits: DatabaseConnection,
    recovery: DatabaseConnection,
    requests: DatabaseConnection,
    shards: std::sync::Arc<OnceCell<ShardCount>>,
    last_writes: LastWrites,
}

impl PostgresStore {
    /// A store on the database at `url` (`postgres://user:password@host:port/database`). Nothing is connected yet: it
    /// may be away, then everything asked of the store is [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the URL is none.
    pub fn open(url: &str) -> Result<Self> {
        let pool::Pools { commits, recovery, requests } = pool::open(url)?;
        Ok(Self { commits, recovery, requests, shards: std::sync::Arc::default(), last_writes: LastWrites::default() })
    }

    /// The connection for whatever has queries of its own, such as the check of the schema.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.recovery
    }

    /// All sagas, page by page in order of id, which is the order in which they were started.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn page_of_sagas(&self, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaRecord>> {
        answer(reads::page_of_sagas(&self.requests, after, limit)).await
    }

    /// Closes all connections, once what is running on them has ended.
    pub async fn close(&self) {
        for pool in [&self.commits, &self.recovery, &self.requests] {
            pool.get_postgres_connection_pool().close().await;
        }
    }
}

/// The answer, or [`StoreError::Unavailable`] once the patience is at its end. Only for what may be dropped anywhere
/// and asked again: single statements, and transactions that run in a task of their own.
async fn answer<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {PATIENCE:?}"))),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId> {
        let row = codec::ownership::definition_row(definition)?;
        let pinned = transaction::write(&self.recovery, move |transaction| {
            Box::pin(async move {
                // Two of them at once would not see each other's row.
                let lock = transaction.execute_unprepared("LOCK TABLE definition IN SHARE ROW EXCLUSIVE MODE");
                lock.await.map_err(error::orm)?;
                definitions::pin(transaction, row).await.map(End::Commit)
            })
        });
        answer(pinned).await
    }

    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>> {
        answer(definitions::all(&self.recovery)).await
    }

    async fn shard_count(&self) -> Result<ShardCount> {
        self.shards.get_or_try_init(|| answer(reads::shard_count(&self.recovery))).await.copied()
    }

    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership> {
        self.last_writes.lease(answer(ownership::heartbeat(&self.commits, instance, lease))).await
    }

    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>> {
        self.last_writes.lease(answer(ownership::take_shard(&self.commits, shard, instance, lease))).await
    }

    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()> {
        answer(ownership::release_shard(&self.commits, shard, epoch)).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<()> {
        answer(ownership::leave(&self.commits, instance)).await
    }

    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage> {
        let shards = self.shard_count().await?;
        answer(reads::live_sagas(&self.recovery, shards, shard, after, limit)).await
    }

    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
        answer(reads::rows_after(&self.recovery, shard, after, limit)).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed> {
        self.last_writes.commit(commit::commit(self.commits.get_postgres_connection_pool(), batch)).await
    }

    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
        answer(reads::sagas(&self.recovery, ids)).await
    }

    async fn saga(&self, id: SagaId) -> Result<Option<SagaRecord>> {
        Ok(answer(reads::sagas(&self.requests, &[id])).await?.pop())
    }

    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>> {
        answer(reads::history(&self.requests, saga)).await
    }

    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
        answer(reads::orders_of(&self.requests, user, offset, limit)).await
    }

    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
        answer(reads::key(&self.requests, key)).await
    }

    async fn untaken(&self, shard: ShardId) -> Result<Untaken> {
        answer(reads::untaken(&self.requests, shard)).await
    }

    async fn put_request(&self, request: &AdminRequest) -> Result<()> {
        answer(operators::put_request(&self.requests, request)).await
    }

    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
        answer(operators::pending_requests(&self.recovery, shards)).await
    }

    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
        answer(operators::answers(&self.requests, requests)).await
    }

    async fn withdraw_request(&self, request: Uuid) -> Result<bool> {
        answer(operators::withdraw_request(&self.requests, request)).await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
        answer(audit::list(&self.requests, filter)).await
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage> {
        answer(letters::list(&self.requests, filter)).await
    }

    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        answer(letters::find(&self.requests, id)).await
    }

    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool> {
        answer(letters::claim(&self.requests, claim, now)).await
    }

    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        answer(letters::close(&self.requests, claim, verdict)).await
    }

    async fn ping(&self) -> Result<()> {
        answer(reads::ping(&self.recovery)).await?;
        self.last_writes.were_taken()
    }
}
