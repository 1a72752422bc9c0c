//! The one write of the engine.

use std::sync::Arc;

use orchestrator::store::rows::{Batch, SagaRecord};
use orchestrator::store::{Committed, StoreError};
use saga_model::SagaId;
use saga_model::history::RowKind;
use saga_model::ids::ShardId;

use crate::fixtures::{
    LONG, Owner, answer, crowded, crowded_row, dead_letter, everything, id_in, instance, key, request, reserved, row,
    saga, shard_of,
};
use crate::stores::{AnyStore, SHARDS};

const ZERO: ShardId = ShardId(0);
const ONE: ShardId = ShardId(1);

async fn stored(store: &AnyStore, id: SagaId) -> SagaRecord {
    store.sagas(&[id]).await.unwrap().pop().expect("the saga is stored")
}

/// A batch with something of everything, on two shards.
fn full(owner: &Owner, sagas: [SagaId; 2], requests: &[orchestrator::store::rows::AdminRequest]) -> Batch {
    let mut batch = Batch { keys: vec![key("k1", sagas[0]), key("k2", sagas[1])], ..Batch::default() };
    owner.start(&mut batch, &saga(sagas[0]));
    owner.start(&mut batch, &saga(sagas[1]));
    batch.answers = requests.iter().map(answer).collect();
    batch.dead_letters = vec![dead_letter(1)];
    for update in &mut batch.shards {
        update.reply_offset = 9;
        update.untaken.insert("payment.commands".to_owned(), saga_model::Micros(3));
    }
    batch
}

pub async fn a_saga_comes_back_as_it_was_stored(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let first = saga(id_in(ZERO));
    let id = first.record.saga.id;
    owner.started(&first).await;
    assert_eq!(stored(&store, id).await.saga, first.record.saga);
    assert_eq!(stored(&store, id).await.origin, first.record.origin);

    let second = crowded(id);
    let mut batch = Batch::default();
    batch.updates.push(second.clone());
    owner.add(&mut batch, id, crowded_row(2, second.record.saga.updated_at));
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(stored(&store, id).await.saga, second.record.saga);
    let history = store.history(id).await.unwrap();
    assert_eq!(*history[0].row, row(1, RowKind::SagaStarted, first.record.saga.created_at));
    assert_eq!(history[1], batch.history[0]);
    assert_eq!(history.len(), 2);
}

pub async fn a_lost_fence_changes_nothing(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let requests = [request(ZERO)];
    store.put_request(&requests[0]).await.unwrap();
    let sagas = [id_in(ZERO), id_in(ONE)];
    let batch = full(&owner, sagas, &requests);
    // One of its two shards goes to somebody else.
    store.release_shard(ONE, owner.marks[&ONE].epoch).await.unwrap();
    let other = Owner::of(&store, "b", [ONE]).await;
    assert_eq!(other.marks[&ONE].epoch, owner.marks[&ONE].epoch + 1);

    let before = everything(&store, &sagas, &batch.keys, &[requests[0].id]).await;
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::FenceLost(vec![ONE]));
    assert_eq!(everything(&store, &sagas, &batch.keys, &[requests[0].id]).await, before);
    // What it still owns it can still write.
    owner.started(&saga(sagas[0])).await;
}

pub async fn a_taken_key_changes_nothing(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let winner = saga(id_in(ZERO));
    let mut batch = Batch { keys: vec![key("k2", winner.record.saga.id)], ..Batch::default() };
    owner.start(&mut batch, &winner);
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);

    let requests = [request(ZERO)];
    store.put_request(&requests[0]).await.unwrap();
    let sagas = [id_in(ZERO), id_in(ONE)];
    let batch = full(&owner, sagas, &requests);
    let before = everything(&store, &sagas, &batch.keys, &[requests[0].id]).await;
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::KeysTaken(vec![1]));
    assert_eq!(everything(&store, &sagas, &batch.keys, &[requests[0].id]).await, before);
    assert_eq!(store.key(&batch.keys[1].key).await.unwrap().unwrap(), key("k2", winner.record.saga.id).record);
    assert_eq!(store.key(&batch.keys[0].key).await.unwrap(), None, "the other key is still free");

    // The same words from another caller, or on another path, are another key.
    let mut batch = Batch { keys: vec![key("k2", sagas[0]), key("k2", sagas[0])], ..Batch::default() };
    batch.keys[0].key.caller = String::new();
    batch.keys[1].key.path = "/sagas/x".to_owned();
    owner.start(&mut batch, &saga(sagas[0]));
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
}

pub async fn a_key_stands_for_one_saga_of_a_batch(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let mut batch = owner.holding(ZERO);
    batch.keys = vec![key("a", id_in(ZERO)), key("a", id_in(ZERO)), key("b", id_in(ZERO))];
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::KeysTaken(vec![1]));
    assert_eq!(store.key(&batch.keys[0].key).await.unwrap(), None);
}

pub async fn a_key_wanted_twice_at_once_is_taken_once(store: AnyStore) {
    let mut tasks = Vec::new();
    for (shard, name) in [(ZERO, "a"), (ONE, "b"), (ShardId(2), "c"), (ShardId(3), "d")] {
        let mut owner = Owner::of(&store, name, [shard]).await;
        let id = id_in(shard);
        let mut batch = Batch { keys: vec![key("x", id), key("y", id)], ..Batch::default() };
        owner.start(&mut batch, &saga(id));
        tasks.push(tokio::spawn(async move { (id, owner.commit(&batch).await.unwrap()) }));
    }
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (id, Committed::All) => winners.push(id),
            (id, other) => {
                assert_eq!(other, Committed::KeysTaken(vec![0, 1]));
                assert!(store.sagas(&[id]).await.unwrap().is_empty());
            }
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.key(&key("x", winners[0]).key).await.unwrap().unwrap().saga, winners[0]);
}

pub async fn a_withdrawn_request_changes_nothing(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let requests = [request(ZERO), request(ONE)];
    for request in &requests {
        store.put_request(request).await.unwrap();
    }
    assert!(store.withdraw_request(requests[1].id).await.unwrap());
    let sagas = [id_in(ZERO), id_in(ONE)];
    let batch = full(&owner, sagas, &requests);
    let ids = requests.each_ref().map(|request| request.id);
    let before = everything(&store, &sagas, &batch.keys, &ids).await;
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::RequestsWithdrawn(vec![ids[1]]));
    assert_eq!(everything(&store, &sagas, &batch.keys, &ids).await, before);
}

pub async fn a_saga_stored_twice_is_refused_with_its_batch(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let first = saga(id_in(ZERO));
    owner.started(&first).await;

    // The rows of the second one are right, only its id is taken: it fails after the fence and the keys.
    let requests = [request(ZERO)];
    store.put_request(&requests[0]).await.unwrap();
    let sagas = [id_in(ZERO), id_in(ONE)];
    let mut batch = full(&owner, sagas, &requests);
    batch.inserts.push(reserved(&first));
    owner.add(&mut batch, first.record.saga.id, row(2, RowKind::StepSucceeded, first.record.saga.created_at));
    let all = [sagas[0], sagas[1], first.record.saga.id];
    let before = everything(&store, &all, &batch.keys, &[requests[0].id]).await;
    assert!(matches!(owner.commit(&batch).await, Err(StoreError::Refused(_))));
    assert_eq!(everything(&store, &all, &batch.keys, &[requests[0].id]).await, before);
    // The store goes on.
    let batch = full(&owner, sagas, &requests);
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_ne!(everything(&store, &all, &batch.keys, &[requests[0].id]).await, before);
}

pub async fn a_saga_that_is_not_stored_cannot_change(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let (known, unknown) = (saga(id_in(ZERO)), saga(id_in(ZERO)));
    owner.started(&known).await;
    let mut batch = Batch::default();
    owner.change(&mut batch, &reserved(&known));
    owner.change(&mut batch, &reserved(&unknown));
    assert!(matches!(owner.commit(&batch).await, Err(StoreError::Refused(_))));
    assert_eq!(stored(&store, known.record.saga.id).await.saga, known.record.saga);
}

pub async fn what_a_saga_was_started_with_never_changes(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let first = saga(id_in(ZERO));
    owner.started(&first).await;
    let mut changed = reserved(&first);
    let origin = std::sync::Arc::make_mut(&mut changed.record.origin);
    origin.user_id = None;
    origin.input = crate::fixtures::raw("{}");
    let mut batch = Batch::default();
    owner.change(&mut batch, &changed);
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    assert_eq!(stored(&store, first.record.saga.id).await.saga, changed.record.saga);
    assert_eq!(stored(&store, first.record.saga.id).await.origin, first.record.origin);
}

pub async fn rows_of_a_shard_have_no_gap(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let first = saga(id_in(ZERO));
    owner.started(&first).await;
    let good = {
        let mut batch = Batch::default();
        owner.change(&mut batch, &reserved(&first));
        batch
    };
    let mut skipping = good.clone();
    skipping.shards[0].last_seq += 1;
    skipping.history[0].shard_seq += 1;
    let mut repeating = good.clone();
    repeating.shards[0].last_seq -= 1;
    repeating.history[0].shard_seq -= 1;
    let mut unsaid = good.clone();
    unsaid.shards[0].last_seq += 1;
    let mut homeless = good.clone();
    homeless.history[0].shard = ONE;
    let mut twice = good.clone();
    twice.history.push(good.history[0].clone());
    let mut ahead = good.clone();
    ahead.shards[0].published = ahead.shards[0].last_seq + 1;
    for bad in [unsaid, homeless, twice, ahead] {
        assert!(matches!(owner.commit(&bad).await, Err(StoreError::Refused(_))), "{bad:?}");
    }
    // It is in order in itself; what is stored is not what its owner believes.
    let mut moved = good.clone();
    moved.shards[0].live_from_before = id_in(ZERO);
    for elsewhere in [skipping, repeating, moved] {
        assert!(matches!(owner.commit(&elsewhere).await, Err(StoreError::OutcomeUnknown(_))), "{elsewhere:?}");
    }
    // A row of a saga that stands already, under a new number of the shard.
    let mut again = good.clone();
    Arc::make_mut(&mut again.history[0].row).seq = 1;
    assert!(matches!(owner.commit(&again).await, Err(StoreError::Refused(_))));
    assert_eq!(store.rows_after(ZERO, 0, 10).await.unwrap().len(), 1);
    assert_eq!(owner.commit(&good).await.unwrap(), Committed::All);
}

pub async fn a_batch_may_be_large(store: AnyStore) {
    const SAGAS: usize = 1_300;
    let mut owner = Owner::of_all(&store).await;
    let shards = (0..SHARDS).map(ShardId).cycle();
    let sagas: Vec<_> = shards.take(SAGAS).map(|shard| saga(id_in(shard))).collect();
    let mut batch = Batch::default();
    for write in &sagas {
        owner.start(&mut batch, write);
    }
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let mut batch = Batch::default();
    for write in &sagas {
        owner.change(&mut batch, &reserved(write));
    }
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let ids: Vec<SagaId> = sagas.iter().map(|write| write.record.saga.id).collect();
    let stored = store.sagas(&ids).await.unwrap();
    assert_eq!(stored.len(), SAGAS);
    assert!(stored.iter().all(|record| record.saga.revision == 2));
    for shard in (0..SHARDS).map(ShardId) {
        let numbers: Vec<u64> =
            store.rows_after(shard, 0, 10_000).await.unwrap().iter().map(|row| row.shard_seq).collect();
        assert_eq!(numbers, (1..=owner.marks[&shard].last_seq).collect::<Vec<_>>());
    }
}

pub async fn an_empty_batch_is_stored(store: AnyStore) {
    let mut owner = Owner::of(&store, "a", [ONE]).await;
    assert_eq!(owner.commit(&Batch::default()).await.unwrap(), Committed::All);
    let mut batch = owner.holding(ONE);
    batch.shards[0].reply_offset = 44;
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    store.release_shard(ONE, owner.marks[&ONE].epoch).await.unwrap();
    let grant = store.take_shard(ONE, &instance("b"), LONG).await.unwrap().unwrap();
    assert_eq!(grant.reply_offset, 44);
}

/// Whatever a worker or a client may send stands in the end somewhere in a text.
pub async fn awkward_texts_are_stored(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let mut write = saga(id_in(ZERO));
    write.error_code = Some("A\0B".to_owned());
    write.step = Some("ste\0p".to_owned());
    Arc::make_mut(&mut write.record.saga).failure = Some(saga_model::state::SagaFailure {
        step: saga_model::definition::StepIndex(0),
        why: saga_model::state::Failure::new("A\0B", "\0"),
    });
    std::sync::Arc::make_mut(&mut write.record.origin).business_key = Some(
        // Longer than a sorted index could hold, even compressed.
        (0..1_000).map(|_| uuid::Uuid::new_v4().to_string()).collect(),
    );
    let ask = request(ZERO);
    store.put_request(&ask).await.unwrap();
    let mut batch = Batch::default();
    owner.start(&mut batch, &write);
    batch.answers = vec![answer(&ask)];
    batch.answers[0].detail = Some("nul \0".to_owned());
    batch.dead_letters = vec![dead_letter(1)];
    batch.dead_letters[0].detail = "nul \0".to_owned();
    batch.dead_letters[0].value = None;
    batch.dead_letters[0].headers = [("na\0me", [0])].into_iter().collect();
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let id = write.record.saga.id;
    assert_eq!(shard_of(id), ZERO);
    assert_eq!(stored(&store, id).await.saga, write.record.saga);
    assert_eq!(stored(&store, id).await.origin, write.record.origin);
}
