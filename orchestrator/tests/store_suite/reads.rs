//! Reads of the engine and of the outside.

use orchestrator::store::rows::{Batch, SagaWrite};
use orchestrator::store::{Committed, StoreError};
use saga_model::SagaId;
use saga_model::ids::ShardId;
use uuid::Uuid;

use crate::fixtures::{Owner, crowded, ended, id_in, key, reserved, saga};
use crate::stores::AnyStore;

const ZERO: ShardId = ShardId(0);
const ONE: ShardId = ShardId(1);

pub async fn live_sagas_come_page_by_page(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let sagas: Vec<SagaWrite> = (0..20).map(|i| saga(id_in(if i % 4 == 0 { ONE } else { ZERO }))).collect();
    let mut batch = Batch::default();
    for write in &sagas {
        owner.start(&mut batch, write);
    }
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let mut batch = Batch::default();
    for write in sagas.iter().skip(1).step_by(5) {
        owner.change(&mut batch, &ended(write));
    }
    // One that is stuck is alive.
    owner.change(&mut batch, &crowded(sagas[2].record.saga.id));
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);

    let expected: Vec<SagaId> =
        (0..20).filter(|i| i % 4 != 0 && (i + 4) % 5 != 0).map(|i: usize| sagas[i].record.saga.id).collect();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.live_sagas(ZERO, after, 3).await.unwrap();
        assert!(page.sagas.len() <= 3);
        found.extend(page.sagas.iter().map(|live| live.record.saga.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(store.live_sagas(ONE, None, usize::MAX).await.unwrap().sagas.len(), 4);
    assert!(store.live_sagas(ShardId(2), None, 10).await.unwrap().sagas.is_empty());
}

pub async fn live_sagas_are_found_by_id_or_flag(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let mut sagas: Vec<SagaWrite> = (0..5).map(|_| saga(id_in(ZERO))).collect();
    sagas.sort_by_key(|write| write.record.saga.id);
    let id = |i: usize| sagas[i].record.saga.id;
    let found = async || {
        let live = store.live_sagas(ZERO, None, 10).await.unwrap();
        live.sagas.iter().map(|live| (live.record.saga.id, live.lingering)).collect::<Vec<_>>()
    };
    let mut batch = owner.holding(ZERO);
    batch.shards[0].live_from = id(2);
    for write in &sagas {
        owner.start(&mut batch, &SagaWrite { lingering: write.record.saga.id == id(4), ..write.clone() });
    }
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(found().await, [(id(2), false), (id(3), false), (id(4), true)]);

    // One that nothing happens to and one that takes a step are flagged; one that is not stored needs no flag.
    let mut batch = owner.holding(ZERO);
    batch.shards[0].live_from = id(4);
    batch.lingering = vec![id(0), id_in(ZERO)];
    owner.change(&mut batch, &SagaWrite { lingering: true, ..reserved(&sagas[2]) });
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(found().await, [(id(0), true), (id(2), true), (id(4), true)]);
    let page = store.live_sagas(ZERO, Some(id(0)), 1).await.unwrap();
    assert_eq!(page.sagas.iter().map(|live| live.record.saga.id).collect::<Vec<_>>(), [id(2)]);

    // It has ended, and the flag is gone with it.
    let mut batch = owner.holding(ZERO);
    owner.change(&mut batch, &ended(&reserved(&sagas[2])));
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(found().await, [(id(0), true), (id(4), true)]);

    let mut batch = Owner::of(&store, "a", [ZERO]).await.holding(ZERO);
    batch.updates = vec![reserved(&sagas[3])];
    batch.lingering = vec![id(3)];
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "changed and flagged at once: {refused:?}");
}

pub async fn rows_come_in_order_after_a_number(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let sagas: Vec<SagaWrite> = (0..7).map(|_| saga(id_in(ZERO))).collect();
    for write in sagas.iter().rev() {
        owner.started(write).await;
    }
    owner.started(&saga(id_in(ONE))).await;
    let rows = store.rows_after(ZERO, 0, 100).await.unwrap();
    let ids: Vec<SagaId> = rows.iter().map(|row| row.saga).collect();
    assert_eq!(ids, sagas.iter().rev().map(|write| write.record.saga.id).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row.shard == ZERO));
    assert_eq!(store.rows_after(ZERO, 2, 3).await.unwrap(), rows[2..5]);
    assert!(store.rows_after(ZERO, 7, 3).await.unwrap().is_empty());
    assert!(store.rows_after(ZERO, u64::MAX, 3).await.unwrap().is_empty());
    assert_eq!(store.rows_after(ZERO, 0, usize::MAX).await.unwrap().len(), 7);
}

pub async fn sagas_are_found_by_id(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let sagas = [saga(id_in(ZERO)), saga(id_in(ONE))];
    for write in &sagas {
        owner.started(write).await;
    }
    let [first, second] = sagas.each_ref().map(|write| write.record.saga.id);
    assert!(store.sagas(&[]).await.unwrap().is_empty());
    let unknown = id_in(ZERO);
    let mut found: Vec<SagaId> =
        store.sagas(&[second, unknown, first, second]).await.unwrap().iter().map(|record| record.saga.id).collect();
    found.sort();
    assert_eq!(found, [first, second]);
    assert_eq!(store.key(&key("none", first).key).await.unwrap(), None);
    store.ping().await.unwrap();
}

pub async fn orders_are_listed_newest_first(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let user = Uuid::new_v4();
    let with_user = |user: Option<Uuid>| {
        let mut write = saga(id_in(ZERO));
        std::sync::Arc::make_mut(&mut write.record.origin).user_id = user;
        write
    };
    let orders: Vec<SagaWrite> = (0..5).map(|_| with_user(Some(user))).collect();
    for write in orders.iter().chain([&with_user(None), &with_user(Some(Uuid::new_v4()))]) {
        owner.started(write).await;
    }
    let newest: Vec<SagaId> = orders.iter().rev().map(|write| write.record.saga.id).collect();
    for (offset, limit, expected) in [
        (0, 10, &newest[..]),
        (0, 2, &newest[..2]),
        (2, 2, &newest[2..4]),
        (4, 2, &newest[4..]),
        (5, 2, &[]),
        (u64::MAX, u64::MAX, &[]),
        (0, u64::MAX, &newest[..]),
        (0, 0, &[]),
    ] {
        let page = store.orders_of(user, offset, limit).await.unwrap();
        let ids: Vec<SagaId> = page.items.iter().map(|record| record.saga.id).collect();
        assert_eq!((ids.as_slice(), page.total), (expected, 5), "{offset} {limit}");
    }
    assert_eq!(store.orders_of(Uuid::nil(), 0, 10).await.unwrap().total, 0);
}

pub async fn an_unknown_saga_has_no_history(store: AnyStore) {
    assert!(store.history(id_in(ZERO)).await.unwrap().is_empty());
}
