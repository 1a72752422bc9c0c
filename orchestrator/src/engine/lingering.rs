//! How the next owner of a shard will find its live sagas: the young ones by their ids, from `live_from` on, those that
//! live for long by a flag. What is written of a saga that lives as briefly as most thus touches no index at its end.
//!
//! Those below `live_from` are flagged, and no others. So a commit that flags something moves `live_from`, by which the
//! fence sees whether it is stored.

use std::collections::{BTreeMap, BTreeSet};

use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::core::Core;
use super::draft::{Draft, Member};
use crate::store::rows::Batch;

/// For how long a saga is found by its id. A takeover may have to read all that were started in that time; one that
/// lives for longer costs a write more.
pub const LINGER_AFTER: Millis = Millis(30_000);
/// How many sagas that nothing happens to one commit flags at most.
const AT_ONCE: usize = 1_000;
/// For how long (in microseconds) nothing is flagged after a commit that flagged something was not stored: a row that
/// cannot be written must not keep others waiting to which something happens.
const HELD: i64 = 60_000_000;

impl Core {
    /// Decides which sagas a draft and its batch flag, and returns from which id on each shard has young ones: above all
    /// ids where it has none, or the next owner would look through all that others have started since.
    pub(super) fn flag(&self, draft: &mut Draft, batch: &mut Batch) -> BTreeMap<ShardId, SagaId> {
        let mut at_once = if draft.now < self.flags_held_until { 0 } else { AT_ONCE };
        let mut live_from = BTreeMap::new();
        for (shard, owned) in &self.shards {
            let mut from = SagaId::from(Uuid::max());
            for saga in &owned.young {
                let copy = draft.copy(*saga);
                if copy.is_some_and(|member| !lives(member)) {
                    continue;
                }
                if !self.outgrown(*saga, draft.now) || (copy.is_none() && at_once == 0) {
                    from = *saga;
                    break;
                }
                at_once -= usize::from(copy.is_none());
            }
            live_from.insert(*shard, from);
        }
        for member in draft.members.iter().filter(|member| lives(member)) {
            let saga = &member.record.saga;
            if !self.sagas.contains_key(&saga.id)
                && !self.old(saga.created_at, draft.now)
                && let Some(from) = live_from.get_mut(&member.shard)
            {
                *from = saga.id.min(*from);
            }
        }
        for (shard, owned) in &self.shards {
            let flagged = owned.young.range(..live_from[shard]); // each shard has one
            batch.lingering.extend(flagged.filter(|saga| draft.copy(**saga).is_none()));
        }
        for member in &mut draft.members {
            let saga = member.record.saga.id;
            let flagged = self.sagas.get(&saga).is_some_and(|live| live.lingering);
            let below = live_from.get(&member.shard).is_some_and(|from| saga < *from);
            member.lingering = lives(member) && (flagged || below);
        }
        live_from
    }

    /// Takes note that sagas were flagged.
    pub(super) fn flagged(&mut self, batch: &Batch) {
        for saga in &batch.lingering {
            if let Some(live) = self.sagas.get_mut(saga) {
                live.lingering = true;
                let shard = live.shard;
                self.grown(shard, *saga, true);
            }
        }
    }

    /// Takes note that a batch was not stored. `true` if it is to be tried without the flags.
    pub(super) fn hold_flags(&mut self, batch: &Batch, now: Micros) -> bool {
        let flags = !batch.lingering.is_empty();
        if flags {
            self.flags_held_until = now.plus(HELD);
        }
        flags
    }

    /// Puts a live saga among the young ones of its shard, or takes it out.
    pub(super) fn grown(&mut self, shard: ShardId, saga: SagaId, lingering: bool) {
        let Some(owned) = self.shards.get_mut(&shard) else { return };
        if lingering {
            owned.young.remove(&saga);
        } else {
            owned.young.insert(saga);
        }
    }

    /// Whether a saga is to be flagged that nothing happens to.
    pub(super) fn to_flag(&self, now: Micros) -> bool {
        let first = |young: &BTreeSet<SagaId>| young.first().is_some_and(|saga| self.outgrown(*saga, now));
        now >= self.flags_held_until && self.shards.values().any(|owned| first(&owned.young))
    }

    fn outgrown(&self, young: SagaId, now: Micros) -> bool {
        self.sagas.get(&young).is_some_and(|live| self.old(live.record.saga.created_at, now))
    }

    fn old(&self, created_at: Micros, now: Micros) -> bool {
        now.since(created_at) >= self.linger_after.micros()
    }
}

fn lives(member: &Member) -> bool {
    !member.record.saga.phase.is_final()
}
