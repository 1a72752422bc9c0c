//! Which shards are ours: leases in SQL, a fair share, and loading what we take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use saga_model::SagaId;
use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::control::{Control, LoadedShard};
use super::definitions::Definitions;
use super::inbox::Inbox;
use super::watchers::Watchers;
use crate::store::rows::{LiveSaga, ShardGrant};
use crate::store::{InstanceId, Membership, Result, Store};

/// Rows that one query loads.
const PAGE: usize = 2_000;

/// Keeps this instance's leases.
pub struct Keeper {
    pub store: Arc<dyn Store>,
    pub instance: InstanceId,
    pub lease: Millis,
    pub clock: Arc<Clock>,
    pub definitions: Arc<Definitions>,
    pub inbox: Arc<Inbox>,
    pub watchers: Arc<Watchers>,
    /// Shards whose state is in doubt and that have to be taken again.
    pub retake: watch::Receiver<Vec<ShardId>>,
}

impl Keeper {
    /// Keeps the leases until shutdown; then gives all of them up, once the loop has ended.
    pub async fn run(mut self, shutdown: CancellationToken, loop_ended: oneshot::Receiver<()>) {
        // A third of the lease: two heartbeats may be lost.
        let interval = Duration::from_millis((self.lease.0 / 3).max(50));
        // After a failure it looks again sooner, and while shards are free to take.
        let soon = Duration::from_millis(200).min(interval);
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.retake.changed() => if changed.is_err() { break },
                () = shutdown.cancelled() => break,
            }
            wait = match self.round().await {
                Ok(settled) => {
                    if settled {
                        interval
                    } else {
                        soon
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "Leases could not be kept; trying again");
                    soon
                }
            };
        }
        // The loop may only be gone already if it panicked; leaving is right all the same.
        drop(loop_ended.await);
        if let Err(error) = self.store.leave(&self.instance).await {
            tracing::warn!(%error, "Leases could not be given up; they expire");
        }
    }

    /// One heartbeat and what follows from it. `true` if we hold our share.
    pub(super) async fn round(&mut self) -> Result<bool> {
        let doubtful = self.retake.borrow_and_update().clone();
        if !doubtful.is_empty() {
            self.retake_doubtful(&doubtful).await?;
            return Ok(false);
        }
        let membership = self.beat().await?;
        self.definitions.refresh(self.store.as_ref()).await?;
        let owned: BTreeSet<ShardId> = self.watchers.owned().into_iter().collect();
        let plan = plan(&membership, &self.instance, &owned);
        for shard in &plan.release {
            self.release(*shard).await?;
        }
        for (shard, epoch) in &plan.give_back {
            tracing::info!(%shard, "Shard given back: it was taken and could not be loaded");
            self.store.release_shard(*shard, *epoch).await?;
        }
        let mut grants = Vec::new();
        for shard in &plan.take {
            grants.extend(self.store.take_shard(*shard, &self.instance, self.lease).await?);
        }
        self.load_all(grants).await?;
        Ok(plan.take.is_empty() && plan.release.is_empty() && plan.give_back.is_empty())
    }

    /// Takes shards in doubt again. Ours or another's: after this their state in SQL is final.
    async fn retake_doubtful(&mut self, doubtful: &[ShardId]) -> Result<()> {
        let mut grants = Vec::new();
        for shard in doubtful {
            // If this fails they stay in doubt, and the next round begins here again.
            grants.extend(self.store.take_shard(*shard, &self.instance, self.lease).await?);
        }
        self.inbox.control(Control::Retaken);
        self.load_all(grants).await
    }

    async fn beat(&self) -> Result<Membership> {
        let membership = self.store.heartbeat(&self.instance, self.lease).await?;
        self.clock.observe(membership.now);
        Ok(membership)
    }

    /// Loads shards. One that cannot be loaded, which the next round takes again, keeps no other waiting; and the leases
    /// of all are kept meanwhile.
    async fn load_all(&self, grants: Vec<ShardGrant>) -> Result<()> {
        let mut failed = None;
        let mut beaten_at = self.clock.now();
        for grant in grants {
            if self.clock.now().since(beaten_at) > self.lease.micros() / 3 {
                self.beat().await?;
                beaten_at = self.clock.now();
            }
            let shard = grant.shard;
            if let Err(error) = self.load(grant).await {
                tracing::warn!(%shard, %error, "A shard that was taken cannot be loaded; trying again");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn release(&self, shard: ShardId) -> Result<()> {
        let (done, dropped) = oneshot::channel();
        self.inbox.control(Control::Release { shard, done });
        // No answer: the loop has ended, and with it the instance leaves.
        if let Ok(Some(epoch)) = dropped.await {
            tracing::info!(%shard, "Shard given up to another instance");
            self.store.release_shard(shard, epoch).await?;
        }
        Ok(())
    }

    /// Loads a shard and hands it to the loop.
    async fn load(&self, grant: ShardGrant) -> Result<()> {
        let shard = grant.shard;
        let mut live: Vec<LiveSaga> = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.live_sagas(shard, after, PAGE).await?;
            live.extend(page.sagas);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut unpublished = Vec::new();
        let mut after = grant.published;
        loop {
            let page = self.store.rows_after(shard, after, PAGE).await?;
            let last = page.len() < PAGE;
            after = page.last().map_or(after, |row| row.shard_seq);
            unpublished.extend(page);
            if last {
                break;
            }
        }
        let alive: BTreeSet<SagaId> = live.iter().map(|live| live.record.saga.id).collect();
        let gone: BTreeSet<SagaId> =
            unpublished.iter().map(|row| row.saga).filter(|saga| !alive.contains(saga)).collect();
        let gone: Vec<SagaId> = gone.into_iter().collect();
        let mut ended = Vec::new();
        for page in gone.chunks(PAGE) {
            ended.extend(self.store.sagas(page).await?);
        }
        if live
            .iter()
            .map(|live| &live.record)
            .chain(&ended)
            .any(|record| self.definitions.get(record.origin.definition).is_none())
        {
            self.definitions.refresh(self.store.as_ref()).await?;
        }
        let (done, installed) = oneshot::channel();
        let loaded = Box::new(LoadedShard { grant, live, unpublished, ended });
        self.inbox.control(Control::Install { loaded, done });
        // No answer: the loop has ended, and with it the instance leaves.
        let _ = installed.await;
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    take: Vec<ShardId>,
    release: Vec<ShardId>,
    /// Ours by the store, with their epochs, and neither in memory nor part of our share: loading them failed after
    /// they were taken. Every heartbeat would renew their leases, and nobody would run their sagas.
    give_back: Vec<(ShardId, u64)>,
}

/// A fair share: the shards dealt to the live instances in turn, the first ones getting what is over.
fn plan(membership: &Membership, me: &InstanceId, owned: &BTreeSet<ShardId>) -> Plan {
    let instances = membership.instances.len().max(1);
    let place = membership.instances.iter().position(|instance| instance == me).unwrap_or(0);
    let shards = membership.shards.len();
    let share = shards / instances + usize::from(place < shards % instances);
    let mine: BTreeSet<ShardId> = membership
        .shards
        .iter()
        .filter(|state| state.owner.as_deref() == Some(me.0.as_str()))
        .map(|state| state.shard)
        .collect();
    // What another has taken while we were frozen is not part of our share, though we have it in memory: with nothing
    // to store, no fence has told us yet.
    let (kept, lost): (Vec<ShardId>, Vec<ShardId>) = owned.iter().partition(|shard| mine.contains(shard));
    // A shard that we are said to own but do not have in memory is taken again.
    let free = membership.shards.iter().filter(|state| {
        let expired = state.owner.is_none() || state.lease_until < membership.now;
        (mine.contains(&state.shard) || expired) && !kept.contains(&state.shard)
    });
    let take: Vec<ShardId> = free.map(|state| state.shard).take(share.saturating_sub(kept.len())).collect();
    let unloaded =
        membership.shards.iter().filter(|state| mine.contains(&state.shard) && !owned.contains(&state.shard));
    let give_back =
        unloaded.filter(|state| !take.contains(&state.shard)).map(|state| (state.shard, state.epoch)).collect();
    let surplus = kept.len().saturating_sub(share);
    let release = lost.into_iter().chain(kept.into_iter().rev().take(surplus)).collect();
    Plan { take, release, give_back }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::ShardState;
    use saga_model::Micros;

    fn membership(instances: &[&str], owners: &[Option<&str>]) -> Membership {
        let state = |(i, owner): (usize, &Option<&str>)| ShardState {
            shard: ShardId(i as u16),
            owner: owner.map(str::to_owned),
            epoch: 1,
            lease_until: Micros(if *owner == Some("dead") { 5 } else { 20 }),
        };
        Membership {
            now: Micros(10),
            instances: instances.iter().map(|name| InstanceId((*name).to_owned())).collect(),
            shards: owners.iter().enumerate().map(state).collect(),
        }
    }

    fn check(instances: &[&str], owners: &[Option<&str>], owned: &[u16], take: &[u16], release: &[u16]) {
        let owned = owned.iter().map(|n| ShardId(*n)).collect();
        let shards = |list: &[u16]| list.iter().map(|n| ShardId(*n)).collect::<Vec<_>>();
        let plan = plan(&membership(instances, owners), &InstanceId("a".into()), &owned);
        assert_eq!(plan, Plan { take: shards(take), release: shards(release), give_back: Vec::new() });
    }

    #[test]
    fn each_gets_a_fair_share() {
        check(&["a"], &[None; 4], &[], &[0, 1, 2, 3], &[]);
        check(&["a", "b"], &[None; 4], &[], &[0, 1], &[]);
        check(&["a", "b"], &[Some("a"); 4], &[0, 1, 2, 3], &[], &[3, 2]);
        check(&["a", "b", "c"], &[Some("a"), Some("a"), Some("b"), None], &[0, 1], &[], &[]);
        check(&["a"], &[Some("a"), Some("dead"), Some("a"), Some("dead")], &[0, 2], &[1, 3], &[]);
        check(&["a", "b"], &[Some("b"), Some("b"), Some("b"), Some("b")], &[], &[], &[]);
        check(&["a"], &[Some("a"), Some("a")], &[0], &[1], &[]);
    }

    #[test]
    fn what_another_took_while_we_were_frozen_is_given_up_and_leaves_room() {
        check(&["a", "b"], &[Some("b"), Some("b"), Some("a"), Some("a")], &[0, 1], &[2, 3], &[0, 1]);
        check(&["a", "b"], &[Some("b"), Some("b"), None, None], &[0, 1], &[2, 3], &[0, 1]);
        check(&["a", "b"], &[Some("b"), Some("a"), Some("dead"), Some("b")], &[0, 1], &[2], &[0]);
        // Whoever took it is dead by now: it is dropped, and taken at its present epoch.
        check(&["a"], &[Some("dead"), Some("a")], &[0, 1], &[0], &[0]);
    }

    #[test]
    fn what_was_taken_and_not_loaded_is_given_back_beyond_the_share() {
        let owned = BTreeSet::from([ShardId(0)]);
        let members = membership(&["a", "b"], &[Some("a"), Some("a"), Some("a"), Some("b")]);
        let expected = Plan { take: vec![ShardId(1)], release: Vec::new(), give_back: vec![(ShardId(2), 1)] };
        assert_eq!(plan(&members, &InstanceId("a".into()), &owned), expected);
    }
}
