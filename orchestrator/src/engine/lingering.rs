//! How the next owner of a shard will find its live sagas: the young ones by their ids, from `live_from` on, those that
//! live for long by a flag. What is written of a saga that lives as briefly as most thus touches no index at its end.

use std::collections::BTreeMap;

use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use saga_model::{Micros, SagaId};

use super::core::Core;
use super::draft::{Draft, Member};
use crate::store::rows::Batch;

/// For how long a saga is found by its id. A takeover may have to read all that were started in that time;
/// one that lives for longer costs a write more.
pub const LINGER_AFTER: Millis = Millis(30_000);
/// How many sagas that nothing happens to one commit flags at most.
const AT_ONCE: usize = 1_000;

impl Core {
    /// Decides which sagas the batch of a draft flags, and returns from which id on each shard has young ones. Where no
    /// young one is left the stored id stays: one that is too low only costs the next owner time.
    pub(super) fn flag(&self, draft: &Draft, batch: &mut Batch) -> BTreeMap<ShardId, SagaId> {
        let mut from = BTreeMap::new();
        for (shard, owned) in &self.shards {
            let untouched = owned.young.iter().filter(|saga| draft.copy(**saga).is_none());
            for saga in untouched {
                let old = self.sagas.get(saga).is_some_and(|live| self.old(live.record.saga.created_at, draft.now));
                if !old || batch.lingering.len() >= AT_ONCE {
                    from.insert(*shard, *saga);
                    break;
                }
                batch.lingering.push(*saga);
            }
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

    fn old(&self, created_at: Micros, now: Micros) -> bool {
        now.since(created_at) >= self.linger_after.micros()
    }
}

fn lives(member: &Member) -> bool {
    !member.record.saga.phase.is_final()
}
