//! The duty, with participants that misbehave in every way that a participant can.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::commands::{Ask, delivery, new_saga, short};
use common::parts::{Bench, LONG};
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind};
use saga_model::wire::Unreadable;
use saga_model::wire::command::Command;
use serde_json::{Value, json};
use tokio::sync::Notify;
use workers::ledger::memory::MemoryLedger;
use workers::ledger::{ClaimId, Ledger, Question};
use workers::participant::{Acted, EffectKey, Job, Participant, Settled, Undone};
use workers::runtime::Limits;
use workers::trouble::{Part, Trouble};

/// A participant that does what the payload says, and remembers what it was asked.
#[derive(Default)]
struct Odd {
    calls: Mutex<Vec<String>>,
    away: Mutex<u32>,
    go_on: Notify,
    begun: Notify,
    /// While it settles, the next time.
    dies: AtomicBool,
}

impl Odd {
    fn note(&self, what: &str, jobs: &[Job<String>]) {
        let asked: Vec<String> = jobs.iter().map(|job| format!("{}/{}", job.task, job.key.round)).collect();
        self.calls.lock().unwrap().push(format!("{what} {}", asked.join(" ")));
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn is_away(&self) -> Result<(), Trouble> {
        let mut away = self.away.lock().unwrap();
        if *away == 0 {
            return Ok(());
        }
        *away -= 1;
        Err(Trouble::Away { part: Part::Redis, detail: "connection refused".to_owned() })
    }
}

#[async_trait]
impl Participant for Odd {
    type Task = String;

    fn read(&self, command: &Command) -> Result<String, Unreadable> {
        let payload: Value = serde_json::from_str(command.payload.get()).unwrap();
        Ok(payload["do"].as_str().unwrap_or("nothing").to_owned())
    }

    async fn act(&self, jobs: &[Job<String>]) -> Result<Vec<Acted>, Trouble> {
        self.note("act", jobs);
        self.is_away()?;
        let why = |code| Failure::new(code, "as it was told");
        let mut acted = Vec::new();
        for job in jobs {
            acted.push(match job.task.as_str() {
                "poison" => return Err(Trouble::Poison("not this one".to_owned())),
                "panic" => panic!("as it was told"),
                "wait" => {
                    self.begun.notify_one();
                    self.go_on.notified().await;
                    Acted::Done(RawJson::of(&json!({"waited": true})).unwrap())
                }
                "refuse" => Acted::Refused(why("NO")),
                "retry" => Acted::Retry(why("LATER")),
                "unknown" => Acted::Unknown(why("WHO_KNOWS")),
                "miscount" => continue,
                _ => Acted::Done(RawJson::of(&json!({})).unwrap()),
            });
        }
        Ok(acted)
    }

    async fn settle(&self, jobs: &[Job<String>]) -> Result<Vec<Settled>, Trouble> {
        self.note("settle", jobs);
        self.begun.notify_one();
        if self.dies.swap(false, Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(jobs.iter().map(|_| Settled::Absent).collect())
    }

    async fn undo(&self, jobs: &[Job<String>]) -> Result<Vec<Undone>, Trouble> {
        self.note("undo", jobs);
        let undo = |job: &Job<String>| match (job.task.as_str(), job.attempt) {
            ("refuse", _) => Undone::Refused(Failure::new("NO", "as it was told")),
            ("retry", 1) => Undone::Retry(Failure::new("LATER", "as it was told")),
            ("unknown", 1) => Undone::Unknown(Failure::new("WHO_KNOWS", "as it was told")),
            _ => Undone::Done { was_there: true },
        };
        Ok(jobs.iter().map(undo).collect())
    }

    fn keeps_silent(&self, _: &Command, task: &String) -> bool {
        task == "silent"
    }
}

fn ask(what: &str) -> Ask {
    Ask::action(new_saga(), "a step", json!({"do": what}))
}

/// A worker with an odd participant, which the test keeps a hand on.
fn odd(limits: Limits) -> (Bench, Arc<Odd>) {
    let odd = Arc::new(Odd::default());
    (Bench::new(Shared(Arc::clone(&odd)), Arc::new(MemoryLedger::default()), limits), odd)
}

struct Shared(Arc<Odd>);

#[async_trait]
impl Participant for Shared {
    type Task = String;
    fn read(&self, command: &Command) -> Result<String, Unreadable> {
        self.0.read(command)
    }
    async fn act(&self, jobs: &[Job<String>]) -> Result<Vec<Acted>, Trouble> {
        self.0.act(jobs).await
    }
    async fn settle(&self, jobs: &[Job<String>]) -> Result<Vec<Settled>, Trouble> {
        self.0.settle(jobs).await
    }
    async fn undo(&self, jobs: &[Job<String>]) -> Result<Vec<Undone>, Trouble> {
        self.0.undo(jobs).await
    }
    fn keeps_silent(&self, command: &Command, task: &String) -> bool {
        self.0.keeps_silent(command, task)
    }
}

#[tokio::test]
async fn a_batch_is_one_call() {
    let (bench, odd) = odd(LONG);
    let replies = bench.handle((0..50).map(|_| ask("it").delivery()).collect()).await;
    assert_eq!(replies.len(), 50);
    assert_eq!(odd.calls().len(), 1);
}

#[tokio::test]
async fn commands_about_one_saga_are_handled_in_order() {
    let (bench, odd) = odd(LONG);
    let (mine, other) = (ask("mine"), ask("other"));
    let batch = [&mine, &other, &mine.undo(), &mine.attempt(2), &mine.undo().attempt(2)];
    let replies = bench.handle(batch.map(Ask::delivery).to_vec()).await;
    let mut by_saga: BTreeMap<SagaId, Vec<String>> = BTreeMap::new();
    for reply in &replies {
        by_saga.entry(reply.saga_id).or_default().push(short(reply));
    }
    let undone = ["SUCCEEDED", "SUCCEEDED undone", "REJECTED COMPENSATED_ALREADY", "SUCCEEDED undone"];
    assert_eq!(by_saga[&mine.saga], undone);
    assert_eq!(by_saga[&other.saga], ["SUCCEEDED"]);
    assert_eq!(odd.calls(), ["act mine/1 other/1", "undo mine/1"]);
}

#[tokio::test]
async fn replies_echo_their_command() {
    let (bench, _) = odd(LONG);
    let asked = ask("it").round(3).attempt(7);
    let reply = bench.handle(vec![asked.delivery()]).await.remove(0);
    assert_eq!((reply.saga_id, reply.step.as_str(), reply.kind), (asked.saga, "a step", Kind::Action));
    assert_eq!((reply.round, reply.attempt, reply.token.as_str()), (3, 7, "t"));
}

#[tokio::test]
async fn outcomes_that_are_remembered_and_those_that_are_not() {
    let (bench, odd) = odd(LONG);
    for (what, outcome, calls) in [
        ("it", "SUCCEEDED", 1),
        ("refuse", "REJECTED NO", 1),
        ("retry", "RETRYABLE LATER", 3),
        ("unknown", "UNKNOWN WHO_KNOWS", 3),
    ] {
        let asked = ask(what);
        for attempt in 1..4 {
            assert_eq!(bench.ask(&asked.attempt(attempt)).await, outcome);
        }
        assert_eq!(odd.calls().len(), calls, "{what}");
    }
}

#[tokio::test]
async fn what_was_not_decided_is_settled_before_it_is_undone() {
    let (bench, odd) = odd(LONG);
    for what in ["retry", "unknown"] {
        let asked = ask(what);
        bench.ask(&asked).await;
        // Neither is a compensation that failed remembered: the next one settles and undoes once more.
        let failed = if what == "retry" { "RETRYABLE LATER" } else { "UNKNOWN WHO_KNOWS" };
        assert_eq!(bench.ask(&asked.undo()).await, failed);
        assert_eq!(bench.ask(&asked.undo().attempt(2)).await, "SUCCEEDED undone");
        assert_eq!(bench.ask(&asked.undo().attempt(3)).await, "SUCCEEDED undone");
        let step = |call: &str| format!("{call} {what}/1");
        assert_eq!(odd.calls(), ["act", "settle", "undo", "settle", "undo"].map(step));
    }
    let decided = ask("it");
    bench.ask(&decided).await;
    bench.ask(&decided.undo()).await;
    assert_eq!(odd.calls(), ["act it/1", "undo it/1"]);
}

#[tokio::test]
async fn a_refused_compensation_is_remembered() {
    let (bench, odd) = odd(LONG);
    let asked = ask("it");
    bench.ask(&asked).await;
    let refused = Ask { payload: json!({"do": "refuse"}), ..asked.undo() };
    assert_eq!(bench.ask(&refused).await, "REJECTED NO");
    assert_eq!(bench.ask(&refused.attempt(2)).await, "REJECTED NO");
    assert_eq!(bench.ask(&asked.undo().round(2)).await, "SUCCEEDED undone");
    assert_eq!(odd.calls(), ["act it/1", "undo refuse/1", "undo it/2"]);
}

#[tokio::test]
async fn a_poison_command_does_not_hurt_its_neighbours() {
    for what in ["poison", "panic", "miscount"] {
        let (bench, _) = odd(LONG);
        let mut asks: Vec<Ask> = (0..9).map(|_| ask("it")).collect();
        asks.insert(4, ask(what));
        let replies = bench.handle(asks.iter().map(Ask::delivery).collect()).await;
        assert_eq!(replies.len(), 9, "{what}");
        assert!(replies.iter().all(|reply| short(reply) == "SUCCEEDED"));
        let letters = bench.letters.0.lock().unwrap().clone();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].why.code.as_str(), "ENGINE_ERROR");
        assert!(std::str::from_utf8(letters[0].delivery.value.as_ref().unwrap()).unwrap().contains(what));
        // Its claim was given back: nobody has to wait for it.
        let again = Ask { payload: json!({"do": "it"}), ..asks[4].clone() };
        assert_eq!(bench.ask(&again).await, "SUCCEEDED");
    }
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_dead_letters() {
    let (bench, odd) = odd(LONG);
    let good = ask("it");
    let without = |field: &str| {
        let mut value = good.value();
        value.as_object_mut().unwrap().remove(field);
        value.to_string()
    };
    let with = |field: &str, wrong: Value| {
        let mut value = good.value();
        value[field] = wrong;
        value.to_string()
    };
    let bad = [
        (String::new(), "NOT_JSON"),
        ("{".to_owned(), "NOT_JSON"),
        ("[".repeat(40), "NOT_JSON"),
        ("[]".to_owned(), "WRONG_TYPE"),
        (without("token"), "MISSING_FIELD"),
        (without("payload"), "MISSING_FIELD"),
        (with("kind", json!("DO")), "WRONG_TYPE"),
        (with("round", json!(0)), "WRONG_TYPE"),
        (with("attempt", json!(2_147_483_648_u64)), "WRONG_TYPE"),
        (with("sagaId", json!("x")), "WRONG_TYPE"),
        (with("payload", json!([])), "WRONG_TYPE"),
        (with("step", json!("a\u{0}")), "WRONG_TYPE"),
        (with("padding", json!("x".repeat(131_072))), "TOO_LARGE"),
    ];
    let mut batch: Vec<_> = bad.iter().map(|(text, _)| delivery("x.commands", None, text.clone().into())).collect();
    let mut tombstone = delivery("x.commands", None, Vec::new());
    tombstone.value = None;
    batch.push(tombstone);
    batch.push(good.delivery());
    let replies = bench.handle(batch.clone()).await;
    assert_eq!(replies.iter().map(short).collect::<Vec<_>>(), ["SUCCEEDED"]);
    let letters = bench.letters.0.lock().unwrap().clone();
    assert_eq!(letters.len(), bad.len() + 1);
    for ((text, code), letter) in bad.iter().chain([&(String::new(), "NOT_JSON")]).zip(&letters) {
        assert_eq!(letter.why.code.as_str(), *code, "{}", &text[..text.len().min(80)]);
        let message = letter.message();
        assert_eq!((message.topic, &message.value), ("saga.dead-letters", &letter.delivery.value));
    }
    assert_eq!(odd.calls(), ["act it/1"]);
}

#[tokio::test]
async fn an_effect_that_takes_too_long_is_unknown_and_goes_on() {
    let limits = Limits { effect: Duration::from_millis(20), lease: Duration::from_secs(60) };
    let (bench, odd) = odd(limits);
    let asked = ask("wait");
    assert_eq!(bench.ask(&asked).await, "UNKNOWN TIMEOUT");
    // The lease is over at once: nobody waits for what nobody waits for.
    let undo = Ask { payload: json!({"do": "it"}), ..asked.undo() };
    assert_eq!(bench.ask(&undo).await, "SUCCEEDED undone");
    assert_eq!(odd.calls(), ["act wait/1", "settle it/1", "undo it/1"]);
    odd.go_on.notify_one();
    assert_eq!(bench.ask(&asked.attempt(2)).await, "REJECTED COMPENSATED_ALREADY");
}

#[tokio::test]
async fn a_part_that_is_away_is_waited_for_in_place() {
    let (bench, odd) = odd(LONG);
    *odd.away.lock().unwrap() = 3;
    let asked = ask("it");
    let (answer, seen) = tokio::join!(bench.ask(&asked), async {
        while bench.absences.why(Part::Redis).is_none() {
            tokio::task::yield_now().await;
        }
        bench.absences.why(Part::Redis)
    });
    assert_eq!((answer.as_str(), seen.as_deref()), ("SUCCEEDED", Some("connection refused")));
    assert_eq!(odd.calls().len(), 4);
    assert_eq!(bench.absences.why(Part::Redis), None);
    assert!(bench.letters.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn whoever_waits_stops_when_told() {
    let (bench, odd) = odd(LONG);
    *odd.away.lock().unwrap() = u32::MAX;
    let batch = vec![ask("it").delivery()];
    let (handled, ()) = tokio::join!(bench.handler.handle(batch), async {
        while bench.absences.why(Part::Redis).is_none() {
            tokio::task::yield_now().await;
        }
        bench.stop.cancel();
    });
    assert!(handled.is_err(), "the batch is not done, and comes again");
}

#[tokio::test]
async fn a_command_waits_for_another_worker_that_is_at_it() {
    let odd = Arc::new(Odd::default());
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let one = Bench::new(Shared(Arc::clone(&odd)), Arc::clone(&ledger), LONG);
    let two = Bench::new(Shared(Arc::clone(&odd)), ledger, LONG);
    let asked = ask("wait");
    let undo = asked.undo();
    let (first, second, undone) = tokio::join!(one.ask(&asked), two.ask(&undo), async {
        odd.begun.notified().await;
        // The other worker's neighbours are answered while it waits.
        odd.go_on.notify_one();
    });
    assert_eq!((first.as_str(), second.as_str(), undone), ("SUCCEEDED", "SUCCEEDED undone", ()));
    assert_eq!(odd.calls(), ["act wait/1", "undo wait/1"]);
}

#[tokio::test]
async fn what_a_dead_worker_began_is_repeated_or_settled_and_undone() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let odd = Arc::new(Odd::default());
    let bench = Bench::new(Shared(Arc::clone(&odd)), Arc::clone(&ledger), LONG);
    let dies_over = async |asked: &Ask| {
        let key = EffectKey { saga: asked.saga, step: Arc::from("a step"), round: asked.round };
        let question = Question { key, kind: Kind::Action, attempt: 1 };
        ledger.claim(ClaimId::new(), Duration::ZERO, &[question]).await.unwrap();
    };
    let (repeated, undone, next_round) = (ask("a"), ask("b"), ask("c"));
    for asked in [&repeated, &undone, &next_round] {
        dies_over(asked).await;
    }
    assert_eq!(bench.ask(&repeated).await, "SUCCEEDED");
    assert_eq!(odd.calls(), ["act a/1"]);
    assert_eq!(bench.ask(&undone.undo()).await, "SUCCEEDED undone");
    assert_eq!(odd.calls(), ["settle b/1", "undo b/1"]);
    assert_eq!(bench.ask(&next_round.round(2)).await, "SUCCEEDED");
    assert_eq!(odd.calls(), ["settle c/1", "act c/2"]);
    assert_eq!(bench.ask(&next_round).await, "REJECTED SUPERSEDED");
}

/// Whoever asks the participant after the effect was settled hears that it is kept out, not why it was refused.
#[tokio::test]
async fn a_refusal_has_its_reason_though_the_worker_dies_while_it_makes_sure() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let odd = Arc::new(Odd::default());
    let bench = |_| Bench::new(Shared(Arc::clone(&odd)), Arc::clone(&ledger), LONG);
    let (first, second) = (bench(1), bench(2));
    let asked = ask("unknown");
    assert_eq!(first.ask(&asked).await, "UNKNOWN WHO_KNOWS");
    let refused = Ask { payload: json!({"do": "refuse"}), ..asked.attempt(2) };
    odd.dies.store(true, Ordering::Relaxed);
    tokio::select! {
        answer = first.ask(&refused) => panic!("it was to die: {answer}"),
        () = odd.begun.notified() => {}
    }
    assert_eq!(odd.calls(), ["act unknown/1", "act refuse/1", "settle refuse/1"]);
    ledger.end_leases().await.unwrap();
    let again = Ask { payload: json!({"do": "it"}), ..asked.attempt(3) };
    assert_eq!(second.ask(&again).await, "REJECTED NO");
    assert_eq!(odd.calls(), ["settle it/1"]);
    assert_eq!(second.ask(&asked.attempt(4)).await, "REJECTED NO");
    assert!(odd.calls().is_empty());
}

#[tokio::test]
async fn silence_is_kept_and_remembered() {
    let (bench, odd) = odd(LONG);
    let asked = ask("silent");
    assert_eq!(bench.ask(&asked).await, "silence");
    assert_eq!(bench.ask(&Ask { payload: json!({"do": "it"}), ..asked.attempt(2) }).await, "SUCCEEDED");
    assert_eq!(odd.calls(), ["act silent/1"]);
}
