//! Whether a saga waits for a worker or for its answer.

use std::time::Duration;

use orchestrator::store::Store;
use orchestrator::store::rows::Untaken;
use saga_model::definition::Policy;
use saga_model::ids::ShardId;
use saga_model::micros::Millis;
use serde_json::json;

use crate::support::{Options, POLICY, Server, Steps, order};

impl Steps {
    /// Since when commands wait for a worker, as it is stored of shard 0.
    async fn untaken(&self) -> Untaken {
        self.store.untaken(ShardId(0)).await.unwrap()
    }

    /// A saga whose command was just sent, and what is stored once that has waited for too long.
    async fn waiting(&mut self) -> Untaken {
        let saga = self.started(1).await[0].saga_id;
        let sent_at = self.store.sagas(&[saga]).await.unwrap()[0].saga.created_at;
        [("parcel.commands".to_owned(), sent_at)].into()
    }
}

#[tokio::test]
async fn a_command_that_the_broker_does_not_have_waits_for_a_worker() {
    let mut steps = Steps::new(1).await;
    steps.bus.away();
    let waiting = steps.waiting().await;
    steps.pass(Duration::from_millis(900));
    steps.turn().await;
    assert_eq!(steps.untaken().await, Untaken::new(), "it is on its way");
    steps.look().await;
    steps.idle().await;
    assert_eq!(steps.untaken().await, waiting);
    steps.bus.back();
    steps.turn().await;
    steps.look().await;
    steps.idle().await;
    assert_eq!(steps.untaken().await, Untaken::new(), "it is taken");
}

#[tokio::test]
async fn a_command_waits_for_a_worker_though_nobody_says_how_far_the_workers_are() {
    let mut steps = Steps::new(1).await;
    let waiting = steps.waiting().await;
    steps.turn().await; // the broker has it
    steps.bus.away();
    steps.look().await;
    steps.idle().await;
    assert_eq!(steps.untaken().await, waiting);
    steps.bus.back();
    steps.look().await;
    steps.idle().await;
    assert_eq!(steps.untaken().await, Untaken::new(), "it is taken");
}

#[tokio::test]
async fn a_command_that_was_taken_waits_for_no_worker_when_the_broker_goes_away() {
    let mut steps = Steps::new(1).await;
    steps.started(1).await;
    steps.turn().await;
    steps.look().await;
    steps.bus.away();
    for _ in 0..3 {
        steps.look().await;
        steps.idle().await;
        assert_eq!(steps.untaken().await, Untaken::new());
    }
}

#[tokio::test]
async fn whoever_takes_a_shard_says_nothing_before_it_has_looked() {
    let mut steps = Steps::new(1).await;
    steps.started(1).await;
    let mut steps = steps.another().await;
    steps.pass(Duration::from_millis(600));
    steps.turn().await;
    assert_eq!(steps.untaken().await, Untaken::new());
    steps.look().await;
    steps.idle().await;
    assert_eq!(steps.untaken().await, Untaken::new(), "it is taken");
}

#[tokio::test]
async fn a_saga_waits_for_a_worker_while_the_broker_is_away() {
    let server = Server::start().await;
    server.bus.away();
    let id = server.client().order_id(&order()).await;
    let saga = server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "worker").await;
    let waiting = json!({"kind": "worker", "step": "reserve-inventory", "since": saga["createdAt"], "until": null});
    assert_eq!(saga["waitingFor"], waiting);
}

#[tokio::test]
async fn of_a_command_that_was_taken_late_no_time_is_told_that_has_passed() {
    let policy = Policy { step_timeout: Millis(1_000), ..POLICY };
    let server = Server::with(Options { policy, ..Options::default() }).await;
    server.bus.no_workers();
    let id = server.client().order_id(&order()).await;
    server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "worker").await;
    // The attempt does not fail before replies are read that never come.
    (0..4).for_each(|partition| server.bus.replies_end(partition, 9));
    server.bus.workers_are_back();
    let saga = server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "reply").await;
    let waiting = json!({"kind": "reply", "step": "reserve-inventory", "since": saga["createdAt"], "until": null});
    assert_eq!((&saga["waitingFor"], &saga["revision"]), (&waiting, &json!(1)));
}
