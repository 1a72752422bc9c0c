//! The content of a store in memory, and what changes it: each change is checked whole before any of it is made.

use std::collections::{BTreeMap, BTreeSet};

use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::{Micros, Millis};
use saga_model::{Definition, SagaId};
use uuid::Uuid;

use crate::store::fence::{self, Mark};
use crate::store::rows::{
    AdminRequest, Batch, DeadLetter, DefinitionId, HistoryRow, IdempotencyKey, KeyRecord, RequestStatus, SagaWrite,
    ShardGrant, ShardState, ShardUpdate, Untaken,
};
use crate::store::{Committed, InstanceId, Membership, Result, StoreError};

/// All of it.
pub struct State {
    /// The id of the first one is 1.
    pub definitions: Vec<Definition>,
    /// Until when each is alive.
    pub instances: BTreeMap<InstanceId, Micros>,
    pub shards: BTreeMap<ShardId, Shard>,
    pub sagas: BTreeMap<SagaId, SagaWrite>,
    /// The rows of each shard: number 1 is the first.
    pub rows: BTreeMap<ShardId, Vec<HistoryRow>>,
    /// Where the rows of a saga stand.
    pub history: BTreeMap<(SagaId, u32), (ShardId, u64)>,
    pub keys: BTreeMap<IdempotencyKey, KeyRecord>,
    pub requests: BTreeMap<Uuid, AdminRequest>,
    pub dead_letters: BTreeMap<Uuid, DeadLetter>,
    /// Until when somebody is at a dead letter.
    pub claims: BTreeMap<Uuid, Micros>,
    seen_letters: BTreeSet<(String, i32, i64)>,
}

/// A shard's row.
pub struct Shard {
    pub shard: ShardId,
    pub owner: Option<String>,
    pub epoch: u64,
    pub lease_until: Micros,
    pub marks: ShardUpdate,
}

fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(StoreError::Refused(why.into()))
}

impl State {
    pub fn new(count: ShardCount) -> Self {
        let untouched = |shard| Shard {
            shard,
            owner: None,
            epoch: 0,
            lease_until: Micros(0),
            marks: ShardUpdate {
                shard,
                epoch: 0,
                last_seq: 0,
                published: 0,
                reply_offset: 0,
                untaken: Untaken::new(),
                live_from: SagaId::from(Uuid::nil()),
                live_from_before: SagaId::from(Uuid::nil()),
            },
        };
        Self {
            definitions: Vec::new(),
            instances: BTreeMap::new(),
            shards: count.all().map(|shard| (shard, untouched(shard))).collect(),
            sagas: BTreeMap::new(),
            rows: count.all().map(|shard| (shard, Vec::new())).collect(),
            history: BTreeMap::new(),
            keys: BTreeMap::new(),
            requests: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            claims: BTreeMap::new(),
            seen_letters: BTreeSet::new(),
        }
    }

    /// The row with that number.
    pub fn row(&self, (shard, number): (ShardId, u64)) -> Option<&HistoryRow> {
        self.rows.get(&shard)?.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Whether whoever takes its shard finds this saga, if it lives.
    pub fn finds(&self, write: &SagaWrite, shards: ShardCount) -> bool {
        let id = write.record.saga.id;
        write.lingering || self.shards.get(&id.slot().shard(shards)).is_some_and(|shard| id >= shard.marks.live_from)
    }

    pub fn pin(&mut self, definition: &Definition) -> Result<DefinitionId> {
        let number = |d: &Definition| (d.name().to_owned(), d.version());
        let other = |d: &&Definition| number(d) == number(definition) && d.blueprint() != definition.blueprint();
        if self.definitions.iter().any(|d| other(&d)) {
            let (name, version) = number(definition);
            return refused(format!("definition {name} {version} is in use with another content"));
        }
        let index = self.definitions.iter().position(|d| d == definition).unwrap_or(self.definitions.len());
        if index == self.definitions.len() {
            self.definitions.push(definition.clone());
        }
        Ok(DefinitionId(index as i64 + 1))
    }

    pub fn heartbeat(&mut self, instance: &InstanceId, lease: Millis, now: Micros) -> Membership {
        let until = now.plus(lease.micros());
        self.instances.insert(instance.clone(), until);
        self.instances.retain(|_, alive_until| *alive_until > now);
        for shard in self.shards.values_mut().filter(|shard| shard.owner.as_ref() == Some(&instance.0)) {
            shard.lease_until = until;
        }
        let shards = self.shards.values().map(|shard| ShardState {
            shard: shard.shard,
            owner: shard.owner.clone(),
            epoch: shard.epoch,
            lease_until: shard.lease_until,
        });
        Membership { now, instances: self.instances.keys().cloned().collect(), shards: shards.collect() }
    }

    pub fn take_shard(
        &mut self,
        shard: ShardId,
        instance: &InstanceId,
        lease: Millis,
        now: Micros,
    ) -> Option<ShardGrant> {
        let stored = self.shards.get_mut(&shard)?;
        if stored.owner.as_ref().is_some_and(|owner| *owner != instance.0) && stored.lease_until > now {
            return None;
        }
        stored.owner = Some(instance.0.clone());
        stored.epoch += 1;
        stored.lease_until = now.plus(lease.micros());
        let ShardUpdate { last_seq, published, reply_offset, live_from, .. } = stored.marks;
        Some(ShardGrant { shard, epoch: stored.epoch, last_seq, published, reply_offset, live_from, now })
    }

    pub fn free(&mut self, which: impl Fn(&Shard) -> bool) {
        for shard in self.shards.values_mut().filter(|shard| which(shard)) {
            shard.owner = None;
            shard.lease_until = Micros(0);
        }
    }

    pub fn put_request(&mut self, request: &AdminRequest) -> Result<()> {
        if self.requests.contains_key(&request.id) {
            return refused(format!("request {} is stored already", request.id));
        }
        self.requests.insert(request.id, request.clone());
        Ok(())
    }

    pub fn commit(&mut self, batch: &Batch) -> Result<Committed> {
        let expected = fence::expected(batch)?;
        let mark = |stored: &Shard| Mark {
            shard: stored.shard,
            epoch: stored.epoch,
            last_seq: stored.marks.last_seq,
            live_from: stored.marks.live_from,
        };
        let stored: Vec<Mark> = self.shards.values().map(mark).collect();
        if let Some(lost) = fence::judge(&expected, &stored)? {
            return Ok(lost);
        }
        let pending = |id: &Uuid| self.requests.get(id).is_some_and(|r| r.status == RequestStatus::Pending);
        let answered = batch.answers.iter().map(|answer| answer.request).filter(pending);
        if let Some(withdrawn) = fence::withdrawn(batch, answered) {
            return Ok(withdrawn);
        }
        let free = batch.keys.iter().map(|key| key.key.clone()).filter(|key| !self.keys.contains_key(key));
        if let Some(taken) = fence::taken(batch, free) {
            return Ok(taken);
        }
        self.check_rows(batch)?;
        self.apply(batch);
        Ok(Committed::All)
    }

    /// What the tables' own constraints would refuse.
    fn check_rows(&self, batch: &Batch) -> Result<()> {
        for update in &batch.shards {
            if update.published > update.last_seq || update.reply_offset < 0 {
                return refused(format!("the marks of shard {} are out of range", update.shard));
            }
        }
        for write in &batch.inserts {
            if self.sagas.contains_key(&write.record.saga.id) {
                return refused(format!("saga {} is stored already", write.record.saga.id));
            }
        }
        for write in &batch.updates {
            if !self.sagas.contains_key(&write.record.saga.id) {
                return refused(format!("saga {} is to be changed and is not stored", write.record.saga.id));
            }
        }
        let mut rows = BTreeSet::new();
        for entry in &batch.history {
            let place = (entry.saga, entry.row.seq);
            if entry.row.seq == 0 || self.history.contains_key(&place) || !rows.insert(place) {
                return refused(format!("history row {} of saga {} is stored already, or 0", place.1, place.0));
            }
        }
        let mut letters = BTreeSet::new();
        for letter in &batch.dead_letters {
            let known = self.dead_letters.contains_key(&letter.id) || !letters.insert(letter.id);
            if known && !self.seen_letters.contains(&place_of(letter)) {
                return refused(format!("dead letter {} is stored already", letter.id));
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) {
        for update in &batch.shards {
            if let Some(shard) = self.shards.get_mut(&update.shard) {
                shard.marks = update.clone();
            }
        }
        self.keys.extend(batch.keys.iter().map(|key| (key.key.clone(), key.record.clone())));
        for write in &batch.inserts {
            self.sagas.insert(write.record.saga.id, write.clone());
        }
        for write in &batch.updates {
            if let Some(stored) = self.sagas.get_mut(&write.record.saga.id) {
                // What never changes stays as it was stored.
                let origin = std::sync::Arc::clone(&stored.record.origin);
                *stored = write.clone();
                stored.record.origin = origin;
            }
        }
        for saga in &batch.lingering {
            if let Some(stored) = self.sagas.get_mut(saga) {
                stored.lingering = true;
            }
        }
        let mut history: Vec<&HistoryRow> = batch.history.iter().collect();
        history.sort_by_key(|row| row.shard_seq);
        for row in history {
            self.history.insert((row.saga, row.row.seq), (row.shard, row.shard_seq));
            self.rows.entry(row.shard).or_default().push(row.clone());
        }
        for answer in &batch.answers {
            if let Some(request) = self.requests.get_mut(&answer.request) {
                request.status = answer.status;
                request.code.clone_from(&answer.code);
                request.detail.clone_from(&answer.detail);
            }
        }
        for letter in &batch.dead_letters {
            if self.seen_letters.insert(place_of(letter)) {
                self.dead_letters.insert(letter.id, letter.clone());
            }
        }
    }
}

fn place_of(letter: &DeadLetter) -> (String, i32, i64) {
    (letter.topic.clone(), letter.partition, letter.offset)
}
