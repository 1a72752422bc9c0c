//! What has to hold for a batch to be stored; the same in every store.
//!
//! A batch says which epoch its owner has of each shard, and its history rows go on where the shard's rows end. Both
//! are compared with the shard as it is stored, under its lock. Another epoch is somebody else's shard: an answer,
//! not an error. The right epoch with another last row means that what is stored is not what its owner believes: a
//! commit that it took for stored is not, or the other way round. Nothing of the batch is to blame, and nothing is
//! stored, so that there is no gap, for which readers of the rows would wait for ever; the owner has to load the shard
//! anew. The same is seen of a commit without rows that flagged a saga as lingering, by `live_from`, which every such
//! commit moves: who believes in a flag that is not stored would lose the saga.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use saga_model::SagaId;
use saga_model::ids::ShardId;
use uuid::Uuid;

use super::rows::{Batch, IdempotencyKey, RequestStatus};
use super::{Committed, Result, StoreError};

/// How a shard has to be stored when the batch comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub shard: ShardId,
    pub epoch: u64,
    pub last_seq: u64,
    pub live_from: SagaId,
}

fn refused<T>(why: String) -> Result<T> {
    Err(StoreError::Refused(why))
}

/// The marks that a batch expects, in order of shard.
///
/// # Errors
/// [`StoreError::Refused`] if the batch contradicts itself: a shard or a saga twice, history rows that are not the
/// last ones of a shard of the batch, an answer that is none.
pub fn expected(batch: &Batch) -> Result<Vec<Mark>> {
    let mut rows: BTreeMap<ShardId, BTreeSet<u64>> =
        batch.shards.iter().map(|update| (update.shard, BTreeSet::new())).collect();
    if rows.len() < batch.shards.len() {
        return refused("a shard stands twice in the batch".to_owned());
    }
    for row in &batch.history {
        let Some(numbers) = rows.get_mut(&row.shard) else {
            return refused(format!("a history row of shard {}, which the batch does not hold", row.shard));
        };
        if !numbers.insert(row.shard_seq) {
            return refused(format!("two history rows are number {} of shard {}", row.shard_seq, row.shard));
        }
    }
    let mut sagas = HashSet::with_capacity(batch.inserts.len() + batch.updates.len() + batch.lingering.len());
    let written = batch.inserts.iter().chain(&batch.updates).map(|write| &write.record.saga.id);
    for saga in written.chain(&batch.lingering) {
        if !sagas.insert(*saga) {
            return refused(format!("saga {saga} stands twice in the batch"));
        }
    }
    let mut requests = HashSet::with_capacity(batch.answers.len());
    for answer in &batch.answers {
        if !requests.insert(answer.request) {
            return refused(format!("two answers to request {}", answer.request));
        }
        match answer.status {
            RequestStatus::Done | RequestStatus::Refused => {}
            RequestStatus::Pending | RequestStatus::Withdrawn => {
                return refused(format!("{:?} is no answer to request {}", answer.status, answer.request));
            }
        }
    }
    let mut marks = Vec::with_capacity(batch.shards.len());
    for update in &batch.shards {
        let numbers = &rows[&update.shard];
        let count = numbers.len() as u64;
        let (shard, epoch, live_from) = (update.shard, update.epoch, update.live_from_before);
        let last_seq = update.last_seq.checked_sub(count);
        match (last_seq, numbers.first(), numbers.last()) {
            (Some(last_seq), None, None) => marks.push(Mark { shard, epoch, last_seq, live_from }),
            (Some(last_seq), Some(first), Some(last)) if *first == last_seq + 1 && *last == update.last_seq => {
                marks.push(Mark { shard, epoch, last_seq, live_from });
            }
            (Some(_) | None, _, _) => {
                let last = update.last_seq;
                return refused(format!("the rows of shard {} are not the {count} up to {last}", update.shard));
            }
        }
    }
    marks.sort_by_key(|mark| mark.shard);
    Ok(marks)
}

/// Compares what a batch expects with the marks that are stored: `None` if the batch may go on.
///
/// # Errors
/// [`StoreError::OutcomeUnknown`] if a shard's rows do not end where its owner believes, or its young sagas begin elsewhere.
pub fn judge(expected: &[Mark], stored: &[Mark]) -> Result<Option<Committed>> {
    let stored: BTreeMap<ShardId, Mark> = stored.iter().map(|mark| (mark.shard, *mark)).collect();
    let lost: Vec<ShardId> = expected
        .iter()
        .filter(|mark| stored.get(&mark.shard).is_none_or(|stored| stored.epoch != mark.epoch))
        .map(|mark| mark.shard)
        .collect();
    if !lost.is_empty() {
        return Ok(Some(Committed::FenceLost(lost)));
    }
    for mark in expected {
        let stored = stored[&mark.shard];
        if stored.last_seq != mark.last_seq {
            return Err(StoreError::OutcomeUnknown(format!(
                "the last history row of shard {} is number {}, not {}",
                mark.shard, stored.last_seq, mark.last_seq
            )));
        }
        if stored.live_from != mark.live_from {
            return Err(StoreError::OutcomeUnknown(format!(
                "the young sagas of shard {} are stored as those from {} on, not {}",
                mark.shard, stored.live_from, mark.live_from
            )));
        }
    }
    Ok(None)
}

/// The requests of a batch that are not among the `answered` ones: they were not pending any more.
pub fn withdrawn(batch: &Batch, answered: impl IntoIterator<Item = Uuid>) -> Option<Committed> {
    let answered: HashSet<Uuid> = answered.into_iter().collect();
    let left: Vec<Uuid> =
        batch.answers.iter().map(|answer| answer.request).filter(|id| !answered.contains(id)).collect();
    (!left.is_empty()).then_some(Committed::RequestsWithdrawn(left))
}

/// The keys of a batch that are not among those that were `stored` with it. Of a key that stands in the batch twice
/// the second one is taken, by the first.
pub fn taken(batch: &Batch, stored: impl IntoIterator<Item = IdempotencyKey>) -> Option<Committed> {
    let mut stored: HashSet<IdempotencyKey> = stored.into_iter().collect();
    let left: Vec<usize> =
        batch.keys.iter().enumerate().filter(|(_, key)| !stored.remove(&key.key)).map(|(index, _)| index).collect();
    (!left.is_empty()).then_some(Committed::KeysTaken(left))
}
