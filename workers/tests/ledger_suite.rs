//! What every ledger does: one suite on memory, SQLite and Postgres.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::commands::new_saga;
use common::database;
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind, Outcome};
use workers::ledger::memory::MemoryLedger;
use workers::ledger::sql::SqlLedger;
use workers::ledger::{Answer, ClaimId, Ending, Judgement, Ledger, Question, Record};
use workers::participant::EffectKey;
use workers::sql::Db;

const HELD: Duration = Duration::from_secs(600);
const OVER: Duration = Duration::ZERO;

/// A ledger and one (saga, step) of it.
struct Desk<'a> {
    ledger: &'a dyn Ledger,
    saga: SagaId,
    step: Arc<str>,
}

impl Desk<'_> {
    fn question(&self, kind: Kind, round: u32) -> Question {
        Question { key: EffectKey { saga: self.saga, step: Arc::clone(&self.step), round }, kind, attempt: 1 }
    }

    async fn ask(&self, claim: ClaimId, lease: Duration, kind: Kind, round: u32) -> Judgement {
        let judgements = self.ledger.claim(claim, lease, &[self.question(kind, round)]).await.unwrap();
        assert_eq!(judgements.len(), 1);
        judgements[0].clone()
    }

    async fn act(&self, claim: ClaimId, lease: Duration, round: u32) -> Judgement {
        self.ask(claim, lease, Kind::Action, round).await
    }

    async fn undo(&self, claim: ClaimId, lease: Duration, round: u32) -> Judgement {
        self.ask(claim, lease, Kind::Compensate, round).await
    }

    async fn end(&self, claim: ClaimId, ending: Ending) -> bool {
        self.end_with(claim, ending, None).await
    }

    async fn end_with(&self, claim: ClaimId, ending: Ending, trace: Option<&str>) -> bool {
        let record = Record { saga: self.saga, step: Arc::clone(&self.step), ending, trace: trace.map(str::to_owned) };
        let held = self.ledger.record(claim, &[record]).await.unwrap();
        assert_eq!(held.len(), 1);
        held[0]
    }
}

fn output(text: &str) -> RawJson {
    RawJson::from_string(text.to_owned()).unwrap()
}

fn succeeded(text: &str) -> Judgement {
    Judgement::Answer(Answer { outcome: Outcome::Succeeded, output: Some(output(text)), error: None })
}

fn rejected(code: &str) -> impl Fn(Judgement) -> bool {
    move |judgement| match judgement {
        Judgement::Answer(Answer { outcome: Outcome::Rejected, error: Some(error), output: None }) => {
            error.code == code
        }
        other => panic!("{other:?} is no refusal"),
    }
}

fn undone(was_there: bool) -> Judgement {
    succeeded(&format!("{{\"undone\":{was_there}}}"))
}

fn undo(settle: Option<u32>) -> Judgement {
    Judgement::Undo { settle, trace: None }
}

const FRESH: Judgement = Judgement::Act { repeated: false };
const AGAIN: Judgement = Judgement::Act { repeated: true };

/// Answers are remembered, and given again to whoever asks.
async fn remembers_answers(desk: Desk<'_>) {
    let (one, two) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(one, HELD, 1).await, FRESH);
    assert!(desk.end(one, Ending::Succeeded(output("{\"a\": 1.50}"))).await);
    assert_eq!(desk.act(two, HELD, 1).await, succeeded("{\"a\": 1.50}"));
    assert!(!desk.end(two, Ending::Succeeded(output("{}"))).await, "an answer is not written twice");
    assert_eq!(desk.act(two, HELD, 1).await, succeeded("{\"a\": 1.50}"));
}

/// A higher round is decided anew, a lower one is refused.
async fn rounds(desk: Desk<'_>) {
    let claim = ClaimId::new();
    assert_eq!(desk.act(claim, HELD, 1).await, FRESH);
    assert!(desk.end(claim, Ending::Rejected(Failure::new("NO", "not this time"))).await);
    assert!(rejected("NO")(desk.act(ClaimId::new(), HELD, 1).await));
    assert_eq!(desk.act(claim, HELD, 3).await, AGAIN);
    assert!(rejected("SUPERSEDED")(desk.act(ClaimId::new(), HELD, 1).await));
    assert!(desk.end(claim, Ending::Succeeded(output("{}"))).await);
    assert!(rejected("SUPERSEDED")(desk.act(ClaimId::new(), HELD, 2).await));
    assert_eq!(desk.act(ClaimId::new(), HELD, 3).await, succeeded("{}"));
}

/// Whoever works is left alone until the lease is over.
async fn leases(desk: Desk<'_>) {
    let (one, two) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(one, HELD, 1).await, FRESH);
    assert_eq!(desk.act(two, HELD, 1).await, Judgement::Busy);
    assert_eq!(desk.act(two, HELD, 2).await, Judgement::Busy);
    assert_eq!(desk.undo(two, HELD, 1).await, Judgement::Busy);
    // Asked again by the same claim (whose first answer was lost on the way), it is its own still.
    assert_eq!(desk.act(one, OVER, 1).await, AGAIN);
    assert_eq!(desk.act(two, HELD, 1).await, AGAIN);
    assert!(!desk.end(one, Ending::Succeeded(output("{}"))).await, "the claim was lost");
    assert!(desk.end(two, Ending::Succeeded(output("{\"by\":2}"))).await);
    assert_eq!(desk.act(one, HELD, 1).await, succeeded("{\"by\":2}"));
}

/// What was not decided stays begun: it is repeated at once, and settled before it is undone.
async fn open_ends(desk: Desk<'_>) {
    let (one, two) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(one, HELD, 1).await, FRESH);
    assert!(desk.end(one, Ending::Open).await);
    assert_eq!(desk.act(two, HELD, 1).await, AGAIN);
    assert!(desk.end(two, Ending::Open).await);
    assert_eq!(desk.undo(one, HELD, 1).await, undo(Some(1)));
    assert!(rejected("COMPENSATED_ALREADY")(desk.act(two, HELD, 1).await));
    assert!(desk.end(one, Ending::Open).await);
    assert_eq!(desk.undo(two, HELD, 1).await, undo(Some(1)), "nobody recorded what came of settling it");
    assert!(desk.end(two, Ending::Undone { was_there: true }).await);
    assert_eq!(desk.undo(one, HELD, 1).await, undone(true));
}

/// Why something is refused outlives the one who found it out, and is forgotten with the next round.
async fn refusals(desk: Desk<'_>) {
    let (one, two) = (ClaimId::new(), ClaimId::new());
    let why = || Failure::new("NO", "there is none");
    assert_eq!(desk.act(one, HELD, 1).await, FRESH);
    assert!(desk.end(one, Ending::Open).await);
    assert_eq!(desk.act(one, OVER, 1).await, AGAIN);
    assert!(desk.end(one, Ending::Refusing(why())).await);
    assert_eq!(desk.act(two, HELD, 1).await, Judgement::Refuse { why: why() });
    assert!(!desk.end(one, Ending::Rejected(why())).await, "the claim was lost");
    assert!(desk.end(two, Ending::Open).await);
    assert_eq!(desk.act(one, HELD, 1).await, Judgement::Refuse { why: why() }, "nothing was settled");
    assert!(desk.end(one, Ending::Refusing(why())).await);
    assert_eq!(desk.act(two, HELD, 1).await, Judgement::Busy, "the claim goes on");
    assert!(desk.end(one, Ending::Rejected(why())).await);
    assert!(rejected("NO")(desk.act(two, HELD, 1).await));
    assert_eq!(desk.act(two, HELD, 2).await, AGAIN);
    assert!(desk.end(two, Ending::Open).await);
    assert_eq!(desk.act(one, HELD, 2).await, AGAIN, "that was another round");
    assert!(desk.end(one, Ending::Refusing(why())).await);
    assert!(desk.end(one, Ending::Open).await);
    assert_eq!(desk.act(two, OVER, 3).await, Judgement::Settle { round: 2 });
    assert_eq!(desk.undo(one, HELD, 3).await, undo(Some(2)));
}

/// An action of a higher round does not bury one that was begun: that one is settled first.
async fn settles_lower_rounds(desk: Desk<'_>) {
    let (dead, one) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(dead, OVER, 1).await, FRESH);
    assert_eq!(desk.act(one, HELD, 4).await, Judgement::Settle { round: 1 });
    assert!(!desk.end(dead, Ending::Succeeded(output("{}"))).await);
    assert!(desk.end(one, Ending::Rejected(Failure::new("SUPERSEDED", "settled"))).await);
    assert_eq!(desk.act(one, HELD, 4).await, AGAIN);
    assert!(desk.end(one, Ending::Succeeded(output("{}"))).await);
    assert_eq!(desk.undo(one, HELD, 4).await, undo(None));
}

/// A compensation that comes first is remembered, and nothing is done after it.
async fn tombstones(desk: Desk<'_>) {
    assert_eq!(desk.undo(ClaimId::new(), HELD, 1).await, undone(false));
    for round in 1..4 {
        assert!(rejected("COMPENSATED_ALREADY")(desk.act(ClaimId::new(), HELD, round).await));
        assert_eq!(desk.undo(ClaimId::new(), HELD, round).await, undone(false));
    }
}

/// A compensation undoes what stands, once, and says so for ever.
async fn undoes(desk: Desk<'_>) {
    let (one, two) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(one, HELD, 1).await, FRESH);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(desk.end_with(one, Ending::Succeeded(output("{}")), Some(trace)).await);
    let of_it = Judgement::Undo { settle: None, trace: Some(trace.to_owned()) };
    assert_eq!(desk.undo(one, HELD, 1).await, of_it);
    assert_eq!(desk.undo(two, HELD, 1).await, Judgement::Busy);
    assert!(rejected("COMPENSATED_ALREADY")(desk.act(two, HELD, 2).await));
    assert!(desk.end(one, Ending::Open).await);
    assert_eq!(desk.undo(two, OVER, 1).await, of_it);
    assert_eq!(desk.undo(one, HELD, 1).await, of_it);
    assert!(!desk.end(two, Ending::Undone { was_there: false }).await, "the claim was lost");
    assert!(desk.end(one, Ending::Undone { was_there: true }).await);
    assert_eq!(desk.undo(two, HELD, 1).await, undone(true));
    assert_eq!(desk.undo(two, HELD, 2).await, undone(true));
}

/// A refused compensation is answered again, and decided anew in a higher round.
async fn refused_compensations(desk: Desk<'_>) {
    let claim = ClaimId::new();
    assert_eq!(desk.act(claim, HELD, 1).await, FRESH);
    assert!(desk.end(claim, Ending::Succeeded(output("{}"))).await);
    assert_eq!(desk.undo(claim, HELD, 1).await, undo(None));
    assert!(desk.end(claim, Ending::UndoRefused(Failure::new("LOCKED", "ask a person"))).await);
    assert!(rejected("LOCKED")(desk.undo(ClaimId::new(), HELD, 1).await));
    assert!(rejected("COMPENSATED_ALREADY")(desk.act(ClaimId::new(), HELD, 2).await));
    assert_eq!(desk.undo(claim, HELD, 2).await, undo(None));
    assert!(desk.end(claim, Ending::Undone { was_there: true }).await);
    assert_eq!(desk.undo(ClaimId::new(), HELD, 1).await, undone(true));
}

/// A process that knows that it is alone waits for nobody.
async fn ends_leases(desk: Desk<'_>) {
    let (dead, alive) = (ClaimId::new(), ClaimId::new());
    assert_eq!(desk.act(dead, HELD, 1).await, FRESH);
    assert_eq!(desk.act(alive, HELD, 1).await, Judgement::Busy);
    desk.ledger.end_leases().await.unwrap();
    assert_eq!(desk.act(alive, HELD, 1).await, AGAIN);
}

/// A batch is judged question by question, and its answers come in its order.
async fn batches(desk: Desk<'_>) {
    let desks: Vec<Desk<'_>> =
        (0..300).map(|_| Desk { ledger: desk.ledger, saga: new_saga(), step: Arc::clone(&desk.step) }).collect();
    let mut order: Vec<usize> = (0..desks.len()).collect();
    order.sort_by_key(|n| (n * 7) % 300);
    let kind = |n: usize| if n.is_multiple_of(3) { Kind::Compensate } else { Kind::Action };
    let questions: Vec<Question> = order.iter().map(|n| desks[*n].question(kind(*n), 1)).collect();
    let claim = ClaimId::new();
    let judgements = desk.ledger.claim(claim, HELD, &questions).await.unwrap();
    for (n, judgement) in order.iter().zip(&judgements) {
        let expected = if n.is_multiple_of(3) { undone(false) } else { FRESH };
        assert_eq!(judgement, &expected, "{n}");
    }
    let records: Vec<Record> = order
        .iter()
        .map(|n| Record {
            saga: desks[*n].saga,
            step: Arc::clone(&desk.step),
            ending: Ending::Succeeded(output(&n.to_string())),
            trace: None,
        })
        .collect();
    let held = desk.ledger.record(claim, &records).await.unwrap();
    for (n, held) in order.iter().zip(held) {
        assert_eq!(held, !n.is_multiple_of(3), "{n}");
        if held {
            assert_eq!(desks[*n].act(ClaimId::new(), HELD, 1).await, succeeded(&n.to_string()));
        }
    }
}

/// What a batch takes for new may be there already: that changes nothing for the rest of it.
async fn batches_of_new_and_old(desk: Desk<'_>) {
    let desks: Vec<Desk<'_>> =
        (0..6).map(|_| Desk { ledger: desk.ledger, saga: new_saga(), step: Arc::clone(&desk.step) }).collect();
    let before = ClaimId::new();
    assert_eq!(desks[0].act(before, HELD, 1).await, FRESH);
    assert!(desks[0].end(before, Ending::Succeeded(output("{}"))).await);
    assert_eq!(desks[1].act(before, HELD, 1).await, FRESH);
    assert_eq!(desks[2].undo(before, HELD, 1).await, undone(false));
    let mut questions: Vec<Question> = desks.iter().map(|desk| desk.question(Kind::Action, 1)).collect();
    questions[4].attempt = 2;
    questions[5].kind = Kind::Compensate;
    let claim = ClaimId::new();
    for (repeated, judgement) in [(false, FRESH), (true, AGAIN)] {
        let judgements = desk.ledger.claim(claim, HELD, &questions).await.unwrap();
        assert_eq!(judgements[..2], [succeeded("{}"), Judgement::Busy], "{repeated}");
        assert!(rejected("COMPENSATED_ALREADY")(judgements[2].clone()));
        assert_eq!(judgements[3..], [judgement.clone(), judgement, undone(false)], "{repeated}");
    }
    let records = [3, 4].map(|n| Record {
        saga: desks[n].saga,
        step: Arc::clone(&desk.step),
        ending: Ending::Succeeded(output("{}")),
        trace: None,
    });
    assert_eq!(desk.ledger.record(claim, &records).await.unwrap(), [true, true]);
}

/// Of many that ask at once, one does it.
async fn one_of_many(desk: Desk<'_>) {
    let asks = (0..20).map(|_| desk.act(ClaimId::new(), HELD, 1));
    let judgements = futures::future::join_all(asks).await;
    assert_eq!(judgements.iter().filter(|judgement| **judgement == FRESH).count(), 1);
    assert_eq!(judgements.iter().filter(|judgement| **judgement == Judgement::Busy).count(), 19);
}

/// The suite, for each ledger.
macro_rules! suite {
    ($($name:ident: $ledger:expr;)*) => {$(
        mod $name {
            use super::*;
            suite! { @tests $ledger;
                remembers_answers rounds leases open_ends refusals settles_lower_rounds tombstones undoes refused_compensations
                ends_leases batches batches_of_new_and_old one_of_many
            }
        }
    )*};
    (@tests $ledger:expr; $($test:ident)*) => {$(
        #[tokio::test]
        async fn $test() {
            let ledger: Arc<dyn Ledger> = $ledger;
            super::$test(Desk { ledger: &*ledger, saga: new_saga(), step: Arc::from("a step") }).await;
        }
    )*};
}

async fn on(connection: sea_orm::DatabaseConnection) -> Arc<dyn Ledger> {
    Arc::new(SqlLedger::new(Db::new(connection).unwrap()))
}

suite! {
    memory: Arc::new(MemoryLedger::default());
    sqlite: on(database::sqlite().await).await;
    postgres: on(database::postgres().await).await;
}
