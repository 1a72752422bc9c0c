//! A charge is made and its answer is held back, for twice the time of an attempt and longer: it arrives before the
//! refund, while that is under way, and after it.

use std::time::Duration;

use saga_model::definition::Policy;
use saga_model::micros::Millis;
use saga_model::state::{Kind, Outcome};
use saga_model::wire::command::Command;

use crate::support::{Options, POLICY, Server, order};

const CHARGE: &str = "charge-payment";
const DONE: (Outcome, &str) = (Outcome::Succeeded, "");

/// A server whose payment worker takes commands and says nothing by itself, and an order there.
async fn unanswered(step_attempts: u32) -> (Server, String) {
    let policy = Policy { step_timeout: Millis(50), step_attempts, compensation_attempts: 1000, ..POLICY };
    let server = Server::with(Options { policy, ..Options::default() }).await;
    server.workers(CHARGE, None);
    let id = server.client().order_id(&order()).await;
    (server, id)
}

/// The command of an attempt at the charge, once it is sent.
async fn sent(server: &Server, kind: Kind, attempt: u32) -> Command {
    let is_it = |command: &Command| command.step == CHARGE && command.kind == kind && command.attempt == attempt;
    tokio::time::timeout(Duration::from_secs(30), server.bus.command(is_it)).await.expect("it is sent")
}

/// Waits until the history says that an answer was ignored.
async fn ignored(server: &Server, id: &str) {
    let history = async {
        loop {
            let events = server.client().get(&format!("/sagas/{id}/history")).await.body["events"].take();
            if events.as_array().unwrap().iter().any(|row| row["type"] == "ReplyIgnored") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), history).await.expect("it is read, and changes nothing")
}

fn undone(server: &Server) -> usize {
    server.bus.commands().iter().filter(|command| command.kind == Kind::Compensate).count()
}

#[tokio::test]
async fn an_answer_before_the_refund_still_counts() {
    let (server, id) = unanswered(1000).await;
    let charge = sent(&server, Kind::Action, 1).await;
    sent(&server, Kind::Action, 3).await;
    server.bus.answer(&charge, DONE);
    let saga = server.client().at_rest(&id).await;
    assert_eq!(saga["status"], "COMPLETED", "{saga:#}");
    assert_eq!(undone(&server), 0);
}

#[tokio::test]
async fn an_answer_during_the_refund_changes_nothing() {
    let (server, id) = unanswered(2).await;
    let charge = sent(&server, Kind::Action, 1).await;
    let refund = sent(&server, Kind::Compensate, 1).await;
    server.bus.answer(&charge, DONE);
    ignored(&server, &id).await;
    let saga = server.client().get(&format!("/sagas/{id}")).await.body;
    assert_eq!(saga["status"], "COMPENSATING", "{saga:#}");
    server.bus.answer(&refund, DONE);
    let saga = server.client().at_rest(&id).await;
    assert_eq!(
        (&saga["status"], &saga["failure"]["code"]),
        (&"COMPENSATED".into(), &"STEP_TIMEOUT".into()),
        "{saga:#}"
    );
}

#[tokio::test]
async fn an_answer_after_the_refund_changes_nothing() {
    let (server, id) = unanswered(2).await;
    let charge = sent(&server, Kind::Action, 1).await;
    let refund = sent(&server, Kind::Compensate, 1).await;
    server.bus.answer(&refund, DONE);
    let before = server.client().at_rest(&id).await;
    let sent = server.bus.commands().len();
    server.bus.answer(&charge, DONE);
    ignored(&server, &id).await;
    let saga = server.client().at_rest(&id).await;
    assert_eq!((&saga["status"], &saga["steps"]), (&"COMPENSATED".into(), &before["steps"]), "{saga:#}");
    assert_eq!(server.bus.commands().len(), sent, "nothing more is asked of anybody");
}
