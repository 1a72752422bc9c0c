//! Where sagas are kept: one trait, three stores (Postgres, SQLite, memory) that pass one suite.
//!
//! The engine writes through [`Store::commit`] alone. It is one transaction, fenced by the epochs of the
//! shards that it touches: an owner that was deposed commits nothing.

pub mod rows;

pub mod integrity;
pub mod memory;
pub mod postgres;
pub mod sqlite;

mod codec;
mod entity;
mod fence;
mod sql;

use async_trait::async_trait;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use uuid::Uuid;

use rows::{
    AdminAnswer, AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DefinitionId, HistoryRow,
    IdempotencyKey, KeyRecord, LetterPage, LivePage, Page, SagaRecord, ShardGrant, ShardState, Verdict,
};

/// What became of a batch. Unless it is [`Committed::All`], nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    All,
    /// These shards have another epoch: somebody else owns them.
    FenceLost(Vec<ShardId>),
    /// These keys of the batch (by index in `keys`) are taken by a saga stored before.
    KeysTaken(Vec<usize>),
    /// These requests, answered by the batch, are not pending any more: whoever asked has been told that nothing
    /// happened, so what they asked for must not happen.
    RequestsWithdrawn(Vec<Uuid>),
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is away, overloaded or out of space, and nothing was changed: try again.
    #[error("the database cannot do it now: {0}")]
    Unavailable(String),
    /// It may or may not be stored, as when the connection breaks during a commit; or what is stored is not what the
    /// owner of a shard believes, so that of an earlier commit it has believed wrong. To take the shards again and load
    /// them helps against both.
    #[error("it is not known what is stored: {0}")]
    OutcomeUnknown(String),
    /// The store refuses this very content, nothing was changed: trying again cannot help.
    #[error("the database refuses it: {0}")]
    Refused(String),
}

/// The instance that owns shards: a name that no other process has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub String);

/// What an instance learns when it shows that it is alive.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The database's clock.
    pub now: Micros,
    /// Live instances, this one included, in order of name.
    pub instances: Vec<InstanceId>,
    /// All shards, in order.
    pub shards: Vec<ShardState>,
}

pub type Result<T> = std::result::Result<T, StoreError>;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    // Definitions.

    /// Registers a definition with its policy (once: the same again gives the same id).
    ///
    /// # Errors
    /// [`StoreError::Refused`] if its (name, version) is in use with another digest.
    async fn pin_definition(&self, definition: &Definition) -> Result<DefinitionId>;
    /// All definitions ever pinned.
    async fn definitions(&self) -> Result<Vec<(DefinitionId, Definition)>>;

    // Ownership.

    async fn shard_count(&self) -> Result<ShardCount>;
    /// Shows that `instance` is alive for `lease` from now, and renews the leases of the shards it owns.
    async fn heartbeat(&self, instance: &InstanceId, lease: Millis) -> Result<Membership>;
    /// Takes a shard that is free, expired, or already `instance`'s own: its epoch grows by one, which waits for a
    /// transaction of the former owner to end. `None` if a live instance owns it.
    async fn take_shard(&self, shard: ShardId, instance: &InstanceId, lease: Millis) -> Result<Option<ShardGrant>>;
    /// Gives a shard up, if `epoch` is still its epoch.
    async fn release_shard(&self, shard: ShardId, epoch: u64) -> Result<()>;
    /// Says that the instance is gone; its shards are free at once.
    async fn leave(&self, instance: &InstanceId) -> Result<()>;

    // Recovery.

    /// The live sagas of a shard with an id above `after`, at most `limit`: those that are lingering, and those with an
    /// id from the shard's `live_from` on.
    async fn live_sagas(&self, shard: ShardId, after: Option<SagaId>, limit: usize) -> Result<LivePage>;
    /// History rows of a shard with a `shard_seq` above `after`, in order, at most `limit`.
    async fn rows_after(&self, shard: ShardId, after: u64, limit: usize) -> Result<Vec<HistoryRow>>;

    // The one write of the engine.

    /// Stores a batch in one transaction: fence, answers, keys, sagas, flags, history, dead letters.
    async fn commit(&self, batch: &Batch) -> Result<Committed>;

    // Reads.

    /// The sagas of these ids that exist, in any order.
    async fn sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>>;
    /// The saga of that id, for somebody outside: however many ask, what the engine itself reads has its own way.
    async fn saga(&self, id: SagaId) -> Result<Option<SagaRecord>> {
        Ok(self.sagas(&[id]).await?.pop())
    }
    /// The history of a saga, in order of `seq`; empty if there is no such saga.
    async fn history(&self, saga: SagaId) -> Result<Vec<HistoryRow>>;
    /// The orders of a user, newest first, and how many there are.
    async fn orders_of(&self, user: Uuid, offset: u64, limit: u64) -> Result<Page<SagaRecord>>;
    /// The saga that a key stands for.
    async fn key(&self, key: &IdempotencyKey) -> Result<Option<KeyRecord>>;
    /// What the owner of this shard last said of commands that no worker has taken (see [`rows::Untaken`]).
    async fn untaken(&self, shard: ShardId) -> Result<rows::Untaken>;

    // Operators.

    /// Stores an operator's request: pending (for the owner of its saga's shard) or already answered.
    async fn put_request(&self, request: &AdminRequest) -> Result<()>;
    /// Pending requests for these shards, oldest first.
    async fn pending_requests(&self, shards: &[ShardId]) -> Result<Vec<AdminRequest>>;
    /// The answers to these requests, as far as there are any.
    async fn answers(&self, requests: &[Uuid]) -> Result<Vec<AdminAnswer>>;
    /// Takes a pending request back; `false` if it has been answered.
    async fn withdraw_request(&self, request: Uuid) -> Result<bool>;

    /// Requests that are not pending any more, those of the workers among them, newest first.
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AdminRequest>>;

    /// Dead letters, newest first; fewer than wanted where they are large.
    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<LetterPage>;
    /// The dead letter of that id.
    async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>>;
    /// Claims a dead letter that is new and that nobody has claimed beyond `now`; `false` if it is not so.
    async fn claim_dead_letter(&self, claim: Claim, now: Micros) -> Result<bool>;
    /// Ends a claim, in one transaction with the audit record; `false`, and nothing is changed, if it has run out and
    /// somebody else has claimed the letter since.
    async fn close_dead_letter(&self, claim: Claim, verdict: &Verdict) -> Result<bool>;

    /// Whether the store answers, and has taken the last write that an engine asked of it; the sentence says why not.
    async fn ping(&self) -> Result<()>;
}
