//! How the next owner of a shard finds sagas that live for longer than most.

use std::time::Duration;

use orchestrator::engine::LINGER_AFTER;
use orchestrator::store::{Store, StoreError};
use saga_model::ids::ShardId;
use uuid::Uuid;

use crate::support::{Steps, request, success};

const A_WHILE: Duration = Duration::from_millis(LINGER_AFTER.0 + 1);

/// The live sagas that a takeover finds, in order of id, and whether by their flags.
async fn found(steps: &Steps) -> Vec<bool> {
    let live = steps.store.live_sagas(ShardId(0), None, 10).await.unwrap();
    live.sagas.iter().map(|live| live.lingering).collect()
}

#[tokio::test]
async fn what_lives_for_long_is_flagged_by_the_next_commit() {
    let mut steps = Steps::new(1).await;
    let first = steps.started(2).await;
    assert_eq!(found(&steps).await, [false, false]);
    steps.pass(A_WHILE);
    // One of the old ones takes a step, the other waits.
    steps.read(0, vec![success(&first[1])]).await;
    steps.turn().await;
    assert_eq!(found(&steps).await, [true, true]);
    drop(steps.begin(vec![request("{}")]));
    steps.turns(10).await;
    assert_eq!(found(&steps).await, [true, true, false]);
    let next = steps.bus.commands().pop().unwrap();

    let mut steps = steps.another().await;
    steps.read(0, vec![success(&first[0]), success(&next)]).await;
    steps.turn().await;
    for command in [&first[0], &next] {
        assert_eq!(steps.revision(command.saga_id).await, 2, "the next owner knows it");
    }
    assert_eq!(found(&steps).await, [true, true, false], "a flag stays while the saga lives");
}

#[tokio::test]
async fn what_lives_for_long_is_flagged_though_nothing_happens() {
    let mut steps = Steps::new(1).await;
    drop(steps.started(2).await);
    steps.idle().await;
    assert_eq!(found(&steps).await, [false, false]);
    steps.pass(A_WHILE);
    steps.idle().await;
    assert_eq!(found(&steps).await, [true, true]);
}

#[tokio::test]
async fn a_shard_without_young_sagas_has_none_to_be_looked_for() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(1).await;
    let from = |steps: &Steps| steps.store.marks()[0].live_from;
    assert_eq!(from(&steps), commands[0].saga_id);
    steps.pass(A_WHILE);
    steps.idle().await;
    assert_eq!(from(&steps).uuid(), Uuid::max());
    // The next one is found by its id again.
    drop(steps.begin(vec![request("{}")]));
    steps.turns(10).await;
    let next = steps.bus.commands().pop().unwrap();
    assert_eq!(from(&steps), next.saga_id);
    assert_eq!(found(&steps).await, [true, false]);
}

#[tokio::test]
async fn many_that_grow_old_at_once_are_flagged_by_and_by() {
    let mut steps = Steps::new(4).await;
    drop(steps.started(1_500).await);
    steps.pass(A_WHILE);
    let flagged = async |steps: &Steps| {
        let mut flagged = 0;
        for shard in 0..4 {
            let live = steps.store.live_sagas(ShardId(shard), None, 1_500).await.unwrap();
            flagged += live.sagas.iter().filter(|live| live.lingering).count();
        }
        flagged
    };
    steps.idle().await;
    assert_eq!((flagged(&steps).await, steps.store.lost()), (1_000, None));
    steps.idle().await;
    assert_eq!((flagged(&steps).await, steps.store.lost()), (1_500, None));
}

#[tokio::test]
async fn a_flag_that_a_failover_has_lost_is_set_again() {
    let mut steps = Steps::new(1).await;
    let first = steps.started(2).await;
    steps.pass(A_WHILE);
    steps.store.lose_flags();
    steps.idle().await;
    assert!(!steps.store.loses_flags(), "it has happened");
    drop(steps.begin(vec![request("{}")]));
    steps.turns(10).await;
    assert_eq!(steps.owned(), [], "what is stored is not what was believed");
    steps.keep_leases().await;
    steps.idle().await;
    assert_eq!(found(&steps).await, [true, true, false]);
    steps.read(0, vec![success(&first[0])]).await;
    steps.turn().await;
    assert_eq!(steps.revision(first[0].saga_id).await, 2);
}

#[tokio::test]
async fn a_row_that_cannot_be_flagged_keeps_no_other_waiting() {
    let mut steps = Steps::new(1).await;
    let sagas = steps.started(2).await;
    let bad = sagas[0].saga_id;
    steps.store.judge(move |batch| {
        if batch.lingering.contains(&bad) {
            return Err(StoreError::Refused("invalid page in block 7 of relation saga".to_owned()));
        }
        Ok(())
    });
    steps.pass(A_WHILE);
    steps.read(0, vec![success(&sagas[1])]).await;
    drop(steps.begin(vec![request("{}")]));
    steps.turns(10).await;
    assert_eq!(steps.revision(sagas[1].saga_id).await, 2);
    assert_eq!(found(&steps).await, [false, false, false]);
    // It is tried again by and by, and succeeds once it can.
    steps.store.judge(|_| Ok(()));
    steps.pass(2 * A_WHILE);
    steps.idle().await;
    assert_eq!(found(&steps).await, [true, true, true]);
}

#[tokio::test]
async fn a_shard_that_cannot_be_loaded_keeps_no_other_waiting() {
    let mut steps = Steps::new(4).await;
    drop(steps.started(8).await);
    steps.store.unloadable();
    let steps = steps.another_tries().await;
    assert_eq!(steps.owned(), [ShardId(1), ShardId(2), ShardId(3)]);
}

#[tokio::test]
async fn a_commit_that_fails_flags_nothing() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(1).await;
    steps.pass(A_WHILE);
    steps.store.away();
    steps.idle().await;
    steps.store.back();
    assert_eq!(found(&steps).await, [false]);
    steps.read(0, vec![success(&commands[0])]).await;
    steps.turn().await;
    assert_eq!(found(&steps).await, [true]);
}
