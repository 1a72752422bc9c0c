//! Who owns a shard, until when, and what the next owner finds.

use orchestrator::store::Committed;
use orchestrator::store::rows::ShardGrant;
use saga_model::Micros;
use saga_model::ids::ShardId;
use saga_model::micros::Millis;

use crate::fixtures::{LONG, Owner, id_in, instance, saga};
use crate::stores::{AnyStore, SHARDS};

const ZERO: ShardId = ShardId(0);

async fn take(store: &AnyStore, shard: ShardId, name: &str) -> Option<ShardGrant> {
    store.take_shard(shard, &instance(name), LONG).await.unwrap()
}

pub async fn a_shard_has_one_owner(store: AnyStore) {
    assert_eq!(store.shard_count().await.unwrap().get(), SHARDS);
    let first = take(&store, ZERO, "a").await.unwrap();
    assert_eq!((first.shard, first.epoch, first.last_seq, first.published, first.reply_offset), (ZERO, 1, 0, 0, 0));
    assert_eq!(take(&store, ZERO, "b").await, None);
    let again = take(&store, ZERO, "a").await.unwrap();
    assert_eq!(again.epoch, 2, "taking one's own again raises the epoch");
    assert!(again.now >= first.now);
    assert!(take(&store, ShardId(1), "b").await.is_some());
    assert_eq!(take(&store, ShardId(SHARDS), "b").await, None, "there is no such shard");
}

pub async fn a_shard_wanted_by_many_is_taken_by_one(store: AnyStore) {
    let takers = (0..8).map(|i| {
        let store = store.clone();
        tokio::spawn(async move { take(&store, ZERO, &format!("i{i}")).await })
    });
    let mut grants = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        grants.extend(taker.await.unwrap());
    }
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].epoch, 1);
}

pub async fn an_expired_lease_is_taken_over(store: AnyStore) {
    let short = Millis(30);
    let mut owner = Owner::of(&store, "a", [ShardId(1)]).await;
    let first = store.take_shard(ZERO, &instance("a"), short).await.unwrap().unwrap();
    store.heartbeat(&instance("a"), short).await.unwrap();
    let second = loop {
        // By the database's clock, not before the lease is over.
        match take(&store, ZERO, "b").await {
            Some(grant) => break grant,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(second.now >= first.now.plus(short.micros()), "{first:?} {second:?}");
    assert_eq!(second.epoch, first.epoch + 1);
    // Its other shard went with the heartbeat's short lease: as long as nobody takes it, it can still write.
    owner.started(&saga(id_in(ShardId(1)))).await;
    // And whoever forgot to live is forgotten.
    let members = store.heartbeat(&instance("b"), LONG).await.unwrap();
    assert_eq!(members.instances, [instance("b")]);
}

pub async fn a_heartbeat_renews_leases(store: AnyStore) {
    store.take_shard(ZERO, &instance("a"), Millis(1)).await.unwrap().unwrap();
    take(&store, ShardId(1), "b").await.unwrap();
    let before = store.heartbeat(&instance("b"), Millis(5)).await.unwrap();
    let after = store.heartbeat(&instance("a"), LONG).await.unwrap();
    assert_eq!(after.shards[0].lease_until, after.now.plus(LONG.micros()));
    assert_eq!(after.shards[1].lease_until, before.now.plus(5_000), "only its own");
    assert_eq!(after.shards[0].epoch, 1, "the owner stays, and so does the epoch");
    assert_eq!(take(&store, ZERO, "b").await, None);
}

pub async fn a_released_shard_is_free(store: AnyStore) {
    let first = take(&store, ZERO, "a").await.unwrap();
    store.release_shard(ZERO, first.epoch + 1).await.unwrap();
    assert_eq!(take(&store, ZERO, "b").await, None, "another epoch gives nothing up");
    store.release_shard(ZERO, first.epoch).await.unwrap();
    let members = store.heartbeat(&instance("a"), LONG).await.unwrap();
    assert_eq!((&members.shards[0].owner, members.shards[0].lease_until), (&None, Micros(0)));
    let second = take(&store, ZERO, "b").await.unwrap();
    // The former owner's hand comes too late.
    store.release_shard(ZERO, first.epoch).await.unwrap();
    assert_eq!(take(&store, ZERO, "a").await, None);
    assert_eq!(second.epoch, 2);
}

pub async fn who_leaves_frees_all_shards(store: AnyStore) {
    for shard in [0, 1] {
        take(&store, ShardId(shard), "a").await.unwrap();
    }
    take(&store, ShardId(2), "b").await.unwrap();
    store.heartbeat(&instance("a"), LONG).await.unwrap();
    store.leave(&instance("a")).await.unwrap();
    let members = store.heartbeat(&instance("b"), LONG).await.unwrap();
    assert_eq!(members.instances, [instance("b")]);
    let owners: Vec<_> = members.shards.iter().map(|shard| shard.owner.as_deref()).collect();
    assert_eq!(owners, [None, None, Some("b"), None]);
    store.leave(&instance("nobody")).await.unwrap();
}

pub async fn two_instances_see_each_other(store: AnyStore) {
    // In order of name, byte by byte.
    for name in ["b", "B", "a-2", "a1"] {
        store.heartbeat(&instance(name), LONG).await.unwrap();
    }
    take(&store, ShardId(3), "B").await.unwrap();
    let members = store.heartbeat(&instance("b"), LONG).await.unwrap();
    assert_eq!(members.instances, ["B", "a-2", "a1", "b"].map(instance));
    let shards: Vec<_> =
        members.shards.iter().map(|shard| (shard.shard.0, shard.owner.as_deref(), shard.epoch)).collect();
    assert_eq!(shards, [(0, None, 0), (1, None, 0), (2, None, 0), (3, Some("B"), 1)]);
    assert!(members.now > Micros(1_700_000_000_000_000), "microseconds since 1970");
}

pub async fn marks_go_to_the_next_owner(store: AnyStore) {
    let mut owner = Owner::of(&store, "a", [ZERO]).await;
    owner.started(&saga(id_in(ZERO))).await;
    owner.started(&saga(id_in(ZERO))).await;
    let mut batch = owner.holding(ZERO);
    batch.shards[0].published = 1;
    batch.shards[0].reply_offset = 77;
    let young = id_in(ZERO);
    batch.shards[0].live_from = young;
    batch.shards[0].untaken = [("payment.commands".to_owned(), Micros(12)), ("x".to_owned(), Micros(-1))].into();
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(store.untaken(ZERO).await.unwrap(), batch.shards[0].untaken);
    assert!(store.untaken(ShardId(1)).await.unwrap().is_empty());
    store.release_shard(ZERO, 1).await.unwrap();
    let grant = take(&store, ZERO, "b").await.unwrap();
    let marks = (grant.epoch, grant.last_seq, grant.published, grant.reply_offset);
    assert_eq!(marks, (2, 2, 1, 77));
    assert_eq!(grant.live_from, young);
}
