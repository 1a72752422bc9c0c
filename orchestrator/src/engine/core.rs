//! The corridor without I/O: shards, live sagas, timers, and what is on its way out.
//!
//! [`Core`] never waits and never asks a clock: the commit loop brings it inputs and the time, stores what it
//! drafts, and tells it the outcome. A simulator drives the same type step by step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::Millis;
use saga_model::state::{CommandRef, Deadline, WakeUp};
use saga_model::{Definition, Micros, SagaId};
use uuid::Uuid;

use super::definitions::Definitions;
use super::taken::TakenTracker;
use super::timers::{TimerKind, Timers};
use super::watermark::Watermark;
use crate::store::rows::{LiveSaga, SagaRecord, Untaken};

/// A source of new ids: random outside, seeded in a simulation.
pub trait Ids: Send + Sync {
    /// A new UUIDv7 of that time, which is the database's: the order of ids is that of all instances.
    fn uuid(&self, at: Micros) -> Uuid;
    /// Sixteen bytes that cannot be guessed.
    fn secret(&self) -> u128;
}

/// All that an instance knows of the shards it owns.
pub struct Core {
    pub(super) shard_count: ShardCount,
    pub(super) definitions: Arc<Definitions>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) shards: BTreeMap<ShardId, OwnedShard>,
    pub(super) sagas: HashMap<SagaId, Live>,
    /// How many of them are not at rest.
    moving: usize,
    pub(super) timers: Timers,
    pub(super) taken: TakenTracker,
    /// When it is next worked out since when commands wait for a worker.
    pub(super) untaken_due: Micros,
    /// When marks were last stored.
    pub(super) stored_at: Micros,
    /// See [`super::lingering::LINGER_AFTER`].
    pub(super) linger_after: Millis,
    /// Until when nothing is flagged, since a commit that flagged something was not stored.
    pub(super) flags_held_until: Micros,
}

/// A shard that this instance owns.
#[derive(Debug)]
pub struct OwnedShard {
    pub epoch: u64,
    pub last_seq: u64,
    pub watermark: Watermark,
    /// The next offset to read of its reply partition, as far as it has been applied.
    pub reply_next: i64,
    /// The replies of which came a message that the broker does not have yet: a dead letter, or the reply passed on.
    /// The stored mark stays before them, so that the next owner reads them again.
    pub passing: BTreeSet<i64>,
    /// The marks as they are stored.
    pub stored: (u64, i64, Untaken),
    /// From which id on the store says that it has young ones.
    pub live_from: SagaId,
    pub barrier: Barrier,
    /// Per command topic, since when commands wait for a worker (`untaken.rs`).
    pub untaken: Untaken,
    /// Its live sagas that are found by their ids.
    pub young: BTreeSet<SagaId>,
}

/// How far the reply partition must be read before overdue timers may fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    None,
    /// The end was asked for; timers due by then may fire once it is reached.
    Asked {
        at: Micros,
    },
    Known {
        asked_at: Micros,
        end: i64,
        /// When it was named, or replies were last applied since.
        moved_at: Micros,
    },
}

/// A saga that has not ended.
#[derive(Debug)]
pub struct Live {
    pub record: SagaRecord,
    pub definition: Arc<Definition>,
    pub shard: ShardId,
    /// The command in flight that the worker's group has taken, and until when it may stay unanswered.
    pub taken: Option<(CommandRef, Micros)>,
    /// It is flagged, and not one of the young ones of its shard.
    pub lingering: bool,
}

impl Live {
    pub(super) fn moves(&self) -> bool {
        !self.record.saga.at_rest()
    }
}

impl Core {
    /// A core that owns nothing yet.
    pub fn new(
        shard_count: ShardCount,
        definitions: Arc<Definitions>,
        ids: Arc<dyn Ids>,
        linger_after: Millis,
        now: Micros,
    ) -> Self {
        Self {
            shard_count,
            definitions,
            ids,
            shards: BTreeMap::new(),
            sagas: HashMap::new(),
            moving: 0,
            timers: Timers::default(),
            taken: TakenTracker::default(),
            untaken_due: now,
            stored_at: now,
            linger_after,
            flags_held_until: now,
        }
    }

    /// The shards that it owns.
    pub fn owned(&self) -> Vec<ShardId> {
        self.shards.keys().copied().collect()
    }

    /// Whether it owns a shard at all.
    pub fn owns_any(&self) -> bool {
        !self.shards.is_empty()
    }

    /// The epoch at which it owns a shard.
    pub fn epoch(&self, shard: ShardId) -> Option<u64> {
        self.shards.get(&shard).map(|owned| owned.epoch)
    }

    /// The shard that a saga belongs to.
    pub fn shard_of(&self, saga: SagaId) -> ShardId {
        saga.slot().shard(self.shard_count)
    }

    /// Command topics in which something waits to be taken.
    pub fn waiting_topics(&self) -> Vec<String> {
        self.taken.topics()
    }

    /// How many sagas are neither paused nor stuck.
    pub fn moving(&self) -> usize {
        self.moving
    }

    /// Forgets a shard: somebody else owns it, or its state in SQL is in doubt.
    pub fn drop_shard(&mut self, shard: ShardId) -> Option<u64> {
        let owned = self.shards.remove(&shard)?;
        let gone: Vec<SagaId> =
            self.sagas.iter().filter(|(_, live)| live.shard == shard).map(|(saga, _)| *saga).collect();
        for saga in gone {
            self.forget(saga);
        }
        let count = self.shard_count;
        self.taken.forget(|saga| saga.slot().shard(count) == shard);
        Some(owned.epoch)
    }

    /// Puts a live saga in, or its new state in place of the old.
    pub(super) fn remember(&mut self, found: LiveSaga, definition: Arc<Definition>, shard: ShardId, now: Micros) {
        let LiveSaga { record, lingering } = found;
        let saga = record.saga.id;
        let taken = self.sagas.get(&saga).and_then(|live| live.taken);
        self.grown(shard, saga, lingering);
        let mut live = Live { record, definition, shard, taken, lingering };
        self.arm(&mut live, now);
        self.moving += usize::from(live.moves());
        let before = self.sagas.insert(saga, live);
        self.moving -= usize::from(before.is_some_and(|before| before.moves()));
    }

    /// Takes a saga that has ended out.
    pub(super) fn forget(&mut self, saga: SagaId) {
        let before = self.sagas.remove(&saga);
        if let Some(owned) = before.as_ref().and_then(|before| self.shards.get_mut(&before.shard)) {
            owned.young.remove(&saga);
        }
        self.moving -= usize::from(before.is_some_and(|before| before.moves()));
        self.timers.forget(saga);
    }

    /// Arms the timers that a saga's state asks for, and no others. A held saga has none. What a resumed saga
    /// has in flight gets its whole time anew.
    fn arm(&mut self, live: &mut Live, now: Micros) {
        let saga = &live.record.saga;
        let held = saga.at_rest();
        let (mut backoff, mut no_answer) = (None, None);
        match saga.wake_up(&live.definition).filter(|_| !held) {
            Some(WakeUp::Backoff { until, .. }) => backoff = Some(until),
            Some(WakeUp::Reply { command, .. }) => {
                if let Some((taken, until)) = &mut live.taken
                    && *taken == command
                {
                    if self.timers.get(saga.id, TimerKind::NoAnswer).is_none() {
                        *until = now.plus(live.definition.timeout(command.step).micros());
                    }
                    no_answer = Some(*until);
                }
            }
            None => {}
        }
        let deadline = match saga.deadline {
            Deadline::At(at) if !held => Some(at),
            Deadline::At(_) | Deadline::None | Deadline::Held { .. } => None,
        };
        self.timers.set(saga.id, TimerKind::Backoff, backoff);
        self.timers.set(saga.id, TimerKind::NoAnswer, no_answer);
        self.timers.set(saga.id, TimerKind::Deadline, deadline);
    }

    /// The worker's group has taken this command: its time runs from now.
    pub(super) fn note_taken(&mut self, saga: SagaId, command: CommandRef, now: Micros) {
        if let Some(mut live) = self.sagas.remove(&saga) {
            live.taken = Some((command, now.plus(live.definition.timeout(command.step).micros())));
            self.arm(&mut live, now);
            self.sagas.insert(saga, live);
        }
    }

    /// Whether this command is still the open one of its saga, held or not.
    pub(super) fn still_asks(&self, saga: SagaId, command: CommandRef) -> bool {
        self.sagas.get(&saga).is_some_and(|live| {
            matches!(live.record.saga.wake_up(&live.definition), Some(WakeUp::Reply { command: open, .. }) if open == command)
        })
    }
}
