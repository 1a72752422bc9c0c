//! How the next owner of a shard will find its live sagas: the young ones by their ids, from `live_from` on, those that
//! live for long by a flag. What is written of a saga that lives as briefly as most thus touches no index at its end.

use std::collections::BTreeMap;

use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::core::Core;
use super::draft::{Draft, Member};
use crate::store::rows::Batch;

/// For how long a saga is found by its id. A takeover may have to read all that were started in that time;
/// one that lives for longer costs a write more.
pub const LINGER_AFTER: Millis = Millis(30_000);
/// How many sagas that nothing happens to one commit flags at most.
const AT_ONCE: usize = 1_000;

impl Core {
    /// Decides which sagas the batch of a draft flags, and returns from which id on each shard has young ones: above all
    /// ids where it has none, or the next owner would look through all that others have started since.
    pub(super) fn flag(&self, draft: &Draft, batch: &mut Batch) -> BTreeMap<ShardId, SagaId> {
        let mut from = BTreeMap::new();
        for (shard, owned) in &self.shards {
            let untouched = owned.young.iter().filter(|saga| draft.copy(**saga).is_none());
            let mut first = SagaId::from(Uuid::max());
            for saga in untouched {
                if !self.outgrown(*saga, draft.now) || batch.lingering.len() >= AT_ONCE {
                    first = *saga;
                    break;
                }
                batch.lingering.push(*saga);
            }
            from.insert(*shard, first);
        }
        let young = draft.members.iter().filter(|member| lives(member) && !member.lingering);
        for member in young {
            let saga = member.record.saga.id;
            from.entry(member.shard).and_modify(|from| *from = saga.min(*from)).or_insert(saga);
        }
        from
    }

    /// Whether a saga of a draft is to be flagged by its batch. Once it is, it stays so while it lives.
    pub(super) fn lingers(&self, member: &Member, now: Micros) -> bool {
        let flagged = self.sagas.get(&member.record.saga.id).is_some_and(|live| live.lingering);
        lives(member) && (flagged || self.old(member.record.saga.created_at, now))
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
        self.shards.values().filter_map(|owned| owned.young.first()).any(|saga| self.outgrown(*saga, now))
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
