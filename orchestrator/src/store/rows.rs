//! What is kept, in the words of the engine; each store has its own columns.

mod operators;

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_model::history::Row;
use saga_model::ids::ShardId;
use saga_model::json::RawJson;
use saga_model::state::{Hold, Saga};
use saga_model::{Definition, Micros, SagaId};
use service::headers::Headers;
use uuid::Uuid;

pub use operators::{AuditFilter, Claim, LetterPage, Verdict};

/// The row of a definition with its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionId(pub i64);

/// A saga with what never changes about it. A state, once made, is shared and not changed: copies cost nothing.
#[derive(Debug, Clone)]
pub struct SagaRecord {
    pub saga: Arc<Saga>,
    pub origin: Arc<Origin>,
}

/// What a saga was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub definition: DefinitionId,
    pub input: RawJson,
    /// Set for an order: whose it is.
    pub user_id: Option<Uuid>,
    pub business_key: Option<String>,
    /// W3C `traceparent` of the saga's root span; its trace id is the saga's.
    pub traceparent: String,
}

/// A saga as a batch stores it: the record and what queries need of it.
#[derive(Debug, Clone)]
pub struct SagaWrite {
    pub record: SagaRecord,
    /// The name of the step in hand.
    pub step: Option<String>,
    /// `failure.code` or the stuck cause.
    pub error_code: Option<String>,
    /// Its id does not tell that it may live: it is lower than [`ShardUpdate::live_from`], or will be soon.
    pub lingering: bool,
}

/// Live sagas in order of id. There may be none and more on the next page.
#[derive(Debug, Clone)]
pub struct LivePage {
    pub sagas: Vec<LiveSaga>,
    /// The id after which to go on; none if this is the last page.
    pub next: Option<SagaId>,
}

/// A live saga as recovery finds it.
#[derive(Debug, Clone)]
pub struct LiveSaga {
    pub record: SagaRecord,
    /// See [`SagaWrite::lingering`].
    pub lingering: bool,
}

impl SagaWrite {
    /// A saga with what queries need of it, found by its id.
    pub fn of(record: &SagaRecord, definition: &Definition) -> Self {
        let saga = &record.saga;
        let step = saga.question(definition).map(|question| definition.step(question.step).name.clone());
        let stuck = match &saga.hold {
            Hold::Stuck(stuck) => Some(stuck.cause.as_str().to_owned()),
            Hold::None | Hold::Paused { .. } => None,
        };
        // A code comes from a worker: whatever it contains, the column takes it.
        let failure = saga.failure.as_ref().map(|failure| failure.why.code.replace('\0', "\u{fffd}"));
        Self { record: record.clone(), step, error_code: stuck.or(failure), lingering: false }
    }
}

/// A history row with where it stands in its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub saga: SagaId,
    pub shard: ShardId,
    /// Gapless in its shard, from 1.
    pub shard_seq: u64,
    /// Shared with who sends its messages.
    pub row: Arc<Row>,
}

/// Everything one commit stores.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The fence, first of all: every shard that the batch touches, with its new marks.
    pub shards: Vec<ShardUpdate>,
    /// Sorted by key, so that two instances never wait for each other in a circle.
    pub keys: Vec<NewKey>,
    pub inserts: Vec<SagaWrite>,
    /// Sagas stored before: their whole new state. What of [`Origin`] they carry is not written again.
    pub updates: Vec<SagaWrite>,
    /// Live sagas that nothing happens to, and that are lingering from now on. It is no error if one of them is not stored.
    pub lingering: Vec<SagaId>,
    pub history: Vec<HistoryRow>,
    pub answers: Vec<AdminAnswer>,
    /// Each is stored once per (topic, partition, offset).
    pub dead_letters: Vec<DeadLetter>,
}

/// The new marks of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardUpdate {
    pub shard: ShardId,
    /// The fence: nothing of the batch is stored unless this is the shard's epoch.
    pub epoch: u64,
    /// The `shard_seq` of its last history row.
    pub last_seq: u64,
    /// All messages of the rows up to this one are acknowledged by the broker.
    pub published: u64,
    /// The next offset to read from its reply partition.
    pub reply_offset: i64,
    pub untaken: Untaken,
    /// Of the sagas with a lower id none lives but those that are lingering.
    pub live_from: SagaId,
    /// What it was before: a part of the fence.
    pub live_from_before: SagaId,
}

/// Per command topic: commands of this shard sent at or after that time have not been taken by any worker.
pub type Untaken = BTreeMap<String, Micros>;

/// A shard as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardState {
    pub shard: ShardId,
    pub owner: Option<String>,
    pub epoch: u64,
    pub lease_until: Micros,
}

/// A shard taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardGrant {
    pub shard: ShardId,
    pub epoch: u64,
    pub last_seq: u64,
    pub published: u64,
    pub reply_offset: i64,
    /// See [`ShardUpdate::live_from`].
    pub live_from: SagaId,
    /// The database's clock at the takeover.
    pub now: Micros,
}

/// Which request a repeated one repeats: keys are separate for each API key and path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey {
    /// The name of the API key; empty for callers without one.
    pub caller: String,
    pub path: String,
    pub key: String,
}

/// A key that a batch takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub key: IdempotencyKey,
    pub record: KeyRecord,
    pub at: Micros,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    pub saga: SagaId,
    /// Equal exactly if the two requests ask for the same.
    pub fingerprint: String,
}

/// An operator's request, which is its audit record too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRequest {
    /// A UUIDv7: audit records are listed by it.
    pub id: Uuid,
    pub at: Micros,
    /// `key:<name>`; none without a valid key.
    pub actor: Option<String>,
    /// `replay`, `cancel`, …
    pub action: String,
    pub saga: Option<SagaId>,
    /// The shard of its saga, for a request that its owner has to answer.
    pub shard: Option<ShardId>,
    /// The verb as JSON ([`saga_model::event::Verb`]), for the owner.
    pub body: Option<String>,
    pub reason: Option<String>,
    /// From `If-Match`.
    pub revision: Option<u32>,
    pub status: RequestStatus,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestStatus {
    Pending,
    Done,
    Refused,
    Withdrawn,
}

/// What the owner answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAnswer {
    pub request: Uuid,
    pub status: RequestStatus,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// A message that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: Uuid,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// None for a message without a value (column `value` is nullable).
    pub value: Option<Vec<u8>>,
    /// Original headers, in order.
    pub headers: Headers,
    pub code: String,
    pub detail: String,
    pub saga: Option<SagaId>,
    pub at: Micros,
    pub status: DeadLetterStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterStatus {
    New,
    Replayed,
    Discarded,
}

/// Which dead letters, from where on.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    pub status: Option<DeadLetterStatus>,
    pub topic: Option<String>,
    pub code: Option<String>,
    /// Only those with an id below this one.
    pub before: Option<Uuid>,
    pub limit: u64,
}

/// A part of a list and how long the whole list is.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: u64,
}
