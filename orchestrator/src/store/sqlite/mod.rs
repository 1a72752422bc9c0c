//! Sagas in one SQLite file, for a single process.
//!
//! SQLite has one writer at a time. Here that is one connection, which the whole process shares (the workers' tables
//! are in the same file): who wants to write waits for it in a queue instead of polling a lock. Reads have
//! connections of their own and see the last commit (WAL).

mod commit;
mod ownership;
mod pool;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use sea_orm::DatabaseConnection;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::codec;
use super::rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, Page, SagaRecord, ShardGrant, Untaken, Verdict,
};
use super::sql::transaction::{self, End};
use super::sql::writes::LastWrites;
use super::sql::{audit, definitions, letters, operators, reads};
use super::{Committed, InstanceId, Membership, Result, Store};

pub use pool::open;

/// The store on SQLite.
#[derive(Clone)]
pub struct SqliteStore {
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    shards: Arc<OnceCell<ShardCount>>,
    last_writes: LastWrites,
}

impl SqliteStore {
    /// A store on the file at `path`, writing through `writer`, which [`open`] made for the same file.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub async fn new(path: &Path, writer: DatabaseConnection) -> Result<Self> {
        let readers = pool::open_readers(path).await?;
        Ok(Self { writer, readers, shards: Arc::default(), last_writes: LastWrites::default() })
    }

    /// Frees all shards, for a process that knows itself to be the only one: whoever had them was killed.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn forget_instances(&self) -> Result<()> {
        ownership::forget_instances(&self.writer).await
    }

    /// Closes all connections, the shared one too.
    pub async fn close(&self) {
        self.readers.get_sqlite_connection_pool().close().await;
        self.writer.get_sqlite_connection_pool().close().await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId> {
        let row = codec::ownership::definition_row(definition)?;
        transaction::write(&self.writer, |transaction| {
            Box::pin(async move { definitions::pin(transaction, row).await.map(End::Commit) })
        })
        .await
    }

    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>> {
        definitions::all(&self.readers).await
    }

    async fn shard_count(&self) -> Result<ShardCount> {
        self.shards.get_or_try_init(|| reads::shard_count(&self.readers)).await.copied()
    }

    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership> {
        self.last_writes.lease(ownership::heartbeat(&self.writer, instance, lease)).await
    }

    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>> {
        self.last_writes.lease(ownership::take_shard(&self.writer, shard, instance, lease)).await
    }

    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()> {
        ownership::release_shard(&self.writer, shard, epoch).await
    }

    async fn leave(&self, instance: &InstanceId) -> Result<()> {
        ownership::leave(&self.writer, instance).await
    }

    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage> {
        let shards = self.shard_count().await?;
        reads::live_sagas(&self.readers, shards, shard, after, limit).await
    }

    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>> {
        reads::rows_after(&self.readers, shard, after, limit).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed> {
        self.last_writes.commit(commit::commit(&self.writer, batch)).await
    }

    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>> {
        reads::sagas(&self.readers, ids).await
    }

    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>> {
        reads::history(&self.readers, saga).await
    }

    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>> {
        reads::orders_of(&self.readers, user, offset, limit).await
    }

    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>> {
        reads::key(&self.readers, key).await
    }

    async fn untaken(&self, shard: ShardId) -> Result<Untaken> {
        reads::untaken(&self.readers, shard).await
    }

    async fn put_request(&self, request: &AdminRequest) -> Result<()> {
        operators::put_request(&self.writer, request).await
    }

    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
        operators::pending_requests(&self.readers, shards).await
    }

    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
        operators::answers(&self.readers, requests).await
    }

    async fn withdraw_request(&self, request: Uuid) -> Result<bool> {
        operators::withdraw_request(&self.writer, request).await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
        audit::list(&self.readers, filter).await
    }

    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage> {
        letters::list(&self.readers, filter).await
    }

    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>> {
        letters::find(&self.readers, id).await
    }

    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool> {
        letters::claim(&self.writer, claim, now).await
    }

    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        letters::close(&self.writer, claim, verdict).await
    }

    async fn ping(&self) -> Result<()> {
        reads::ping(&self.readers).await?;
        self.last_writes.were_taken()
    }
}
