//! How far replies are read when a turn does not go as usual: each is dealt with, and nothing that came of it is lost.

use std::time::Duration;

use orchestrator::store::StoreError;
use saga_model::ids::ShardCount;

use crate::support::{Steps, request, success};

#[tokio::test]
async fn a_turn_that_was_split_has_read_all_its_replies() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(2).await;
    steps.store.judge(|batch| match batch.updates.len() {
        0 | 1 => Ok(()),
        _ => Err(StoreError::Refused("not two at once".to_owned())),
    });
    // The last one is of the saga that is stored first.
    steps.read(0, [0, 1, 0].map(|n| success(&commands[n])).into()).await;
    steps.turn().await;
    for command in &commands {
        assert_eq!(steps.revision(command.saga_id).await, 2);
    }
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [3]);
}

#[tokio::test]
async fn a_turn_of_which_something_cannot_be_stored_at_all_has_read_all_its_replies() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(2).await;
    let poison = commands[1].saga_id;
    steps.store.judge(move |batch| {
        let touches = batch.updates.iter().any(|write| write.record.saga.id == poison);
        if touches { Err(StoreError::Refused("not this one".to_owned())) } else { Ok(()) }
    });
    steps.read(0, [0, 1].map(|n| success(&commands[n])).into()).await;
    steps.turn().await;
    assert_eq!(steps.revision(commands[0].saga_id).await, 2);
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [2]);
}

#[tokio::test]
async fn replies_of_a_topic_that_was_made_anew_are_marked_from_its_beginning() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(2).await;
    steps.read(0, [0, 0, 0].map(|n| success(&commands[n])).into()).await;
    steps.turn().await;
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [3]);
    steps.read(0, vec![success(&commands[1])]).await;
    steps.turn().await;
    assert_eq!(steps.revision(commands[1].saga_id).await, 2);
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [1], "whoever takes the shard now would miss what comes next");
}

#[tokio::test]
async fn a_dead_letter_that_has_not_left_is_sent_by_the_next_owner() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(1).await;
    steps.bus.keep_acks();
    let replies = vec![success(&commands[0]), b"no reply".to_vec(), success(&commands[0])];
    steps.read(0, replies.clone()).await;
    steps.turn().await;
    steps.idle().await;
    assert_eq!((steps.dead_letters(), steps.store.reply_marks()), (1, vec![1]), "it may not have left");

    let mut next = steps.another().await;
    assert_eq!(next.dead_letters(), 0);
    next.read(0, replies).await;
    next.turn().await;
    assert_eq!(next.dead_letters(), 1);
    next.idle().await;
    assert_eq!(next.store.reply_marks(), [3], "it has left");
}

#[tokio::test]
async fn a_reply_passed_on_that_has_not_left_is_read_again() {
    let mut steps = Steps::new(2).await;
    let commands = steps.started(1).await;
    let right = commands[0].saga_id.slot().shard(ShardCount::new(2).unwrap()).0;
    let wrong = 1 - right;
    steps.bus.keep_acks();
    steps.read(wrong, vec![success(&commands[0])]).await;
    steps.turn().await;
    let passed_on = ("saga.replies".to_owned(), Some(i32::from(right)));
    assert!(steps.bus.others().contains(&passed_on), "{:?}", steps.bus.others());
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [0, 0]);
    steps.bus.give_acks();
    steps.turn().await;
    steps.idle().await;
    assert_eq!(steps.store.reply_marks()[usize::from(wrong)], 1);
}

#[tokio::test]
async fn a_message_of_no_saga_before_a_poisonous_one_is_told_from_it() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(1).await;
    steps.store.judge(|batch| {
        let moves_on = batch.history.iter().any(|row| row.row.data.stuck.is_none());
        if moves_on { Err(StoreError::Refused("no step is stored".to_owned())) } else { Ok(()) }
    });
    steps.read(0, vec![b"no reply".to_vec(), success(&commands[0])]).await;
    steps.turn().await;
    assert_eq!(steps.status(commands[0].saga_id).await, "STUCK");
    steps.idle().await;
    assert_eq!((steps.dead_letters(), steps.store.reply_marks()), (2, vec![2]));
}

#[tokio::test]
async fn a_turn_of_which_only_a_part_is_stored_will_be_read_again() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(2).await;
    let second = commands[1].saga_id;
    steps.store.judge(move |batch| match &*batch.updates {
        [one] if one.record.saga.id == second => Err(StoreError::OutcomeUnknown("cut off".to_owned())),
        [] | [_] => Ok(()),
        _ => Err(StoreError::Refused("not two at once".to_owned())),
    });
    steps.read(0, [0, 1].map(|n| success(&commands[n])).into()).await;
    steps.turn().await;
    assert_eq!(steps.revision(commands[0].saga_id).await, 2);
    assert_eq!(steps.store.reply_marks(), [0], "the second reply is not dealt with");
}

#[tokio::test]
async fn timers_do_not_wait_for_the_end_of_a_topic_that_was_made_anew() {
    let mut steps = Steps::new(1).await;
    let saga = steps.started(1).await[0].saga_id;
    let garbage = |times| vec![b"no reply".to_vec(); times];
    steps.read(0, garbage(5)).await;
    steps.bus.replies_end(0, 9);
    steps.pass(Duration::from_secs(3_601));
    steps.turns(3).await;
    assert_eq!(steps.status(saga).await, "RUNNING", "an answer may be there to be read");
    steps.bus.replies_end(0, 1);
    steps.read(0, garbage(1)).await;
    steps.turns(3).await;
    assert_eq!(steps.status(saga).await, "COMPENSATING");
}

#[tokio::test]
async fn what_was_applied_of_a_topic_does_not_count_for_the_one_made_anew() {
    let mut steps = Steps::new(1).await;
    let saga = steps.started(1).await[0].saga_id;
    let garbage = |times| vec![b"no reply".to_vec(); times];
    steps.read(0, garbage(5)).await;
    steps.bus.replies_made_anew(0, 2);
    steps.pass(Duration::from_secs(3_601));
    steps.turns(5).await;
    assert_eq!(steps.status(saga).await, "RUNNING", "of the two that are there, one may be the answer");
    assert_eq!(steps.store.reply_marks(), [0], "whoever takes the shard now begins at the beginning");
    steps.read(0, garbage(2)).await;
    steps.turns(3).await;
    assert_eq!(steps.status(saga).await, "COMPENSATING");
}

#[tokio::test]
async fn timers_wait_for_replies_as_long_as_some_are_applied() {
    let mut steps = Steps::new(1).await;
    let saga = steps.started(1).await[0].saga_id;
    steps.look().await;
    steps.bus.replies_end(0, 4);
    steps.pass(Duration::from_secs(61));
    steps.turn().await;
    tokio::task::yield_now().await;
    // Whoever asked again would hear of a further end, time and again.
    steps.bus.replies_end(0, 40);
    for read in 1..=4 {
        assert_eq!(steps.revision(saga).await, 1, "not all was applied");
        steps.read(0, vec![b"no reply".to_vec(); read]).await;
        steps.turns(3).await;
        steps.pass(Duration::from_secs(14));
    }
    assert_eq!(steps.revision(saga).await, 2, "the attempt has failed");
}

#[tokio::test]
async fn timers_of_a_shard_whose_replies_are_not_read_hold_up_no_other_shard() {
    let mut steps = Steps::new(2).await;
    const SAGAS: usize = 5_000; // more than 2,048 in each shard
    let asked = steps.begin(vec![request("{}"); SAGAS]);
    while steps.bus.commands().len() < SAGAS {
        tokio::task::yield_now().await;
        steps.turn().await;
    }
    for started in asked {
        started.await.unwrap().unwrap();
    }
    steps.bus.replies_end(0, 9);
    steps.pass(Duration::from_secs(3_601));
    steps.turns(8).await;
    let (mut waiting, mut ended) = (0, 0);
    for command in steps.bus.commands().iter().take(SAGAS) {
        let shard = command.saga_id.slot().shard(ShardCount::new(2).unwrap());
        match (shard.0, steps.status(command.saga_id).await) {
            (0, "RUNNING") => waiting += 1,
            (1, "COMPENSATING") => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(waiting > 2_048 && ended > 2_048, "{waiting} wait, {ended} went on");
}

#[tokio::test]
async fn a_deadline_does_not_wait_for_what_another_timer_has_to_ask() {
    let mut steps = Steps::new(1).await;
    let saga = steps.started(1).await[0].saga_id;
    let millis = |millis| Duration::from_millis(millis);
    steps.pass(millis(3_541_500));
    steps.look().await; // from now on the attempt has 60 s, and the saga 58.5
    steps.pass(millis(59_000));
    steps.turn().await;
    tokio::task::yield_now().await;
    assert_eq!(steps.status(saga).await, "RUNNING", "an answer may be there to be read");
    // The end that was named for the deadline is too old for the attempt.
    steps.pass(millis(1_600));
    steps.turn().await;
    assert_eq!(steps.status(saga).await, "COMPENSATING");
}

#[tokio::test]
async fn a_deadline_counts_though_the_broker_says_nothing() {
    let mut steps = Steps::new(1).await;
    let saga = steps.started(1).await[0].saga_id;
    steps.bus.silent();
    steps.pass(Duration::from_secs(3_601));
    steps.turn().await;
    assert_eq!(steps.status(saga).await, "RUNNING", "an answer may be there to be read");
    steps.pass(Duration::from_secs(5));
    steps.turn().await;
    assert_eq!(steps.status(saga).await, "COMPENSATING");
}
