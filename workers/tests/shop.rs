//! The sample workers, each by what is promised of it.

mod common;

use std::sync::Arc;
use std::sync::Mutex;

use common::commands::{Ask, new_saga, payload};
use common::database;
use common::parts::{Bench, LONG};
use saga_model::SagaId;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use uuid::Uuid;
use workers::ledger::memory::MemoryLedger;
use workers::shop::gateway::SimulatedGateway;
use workers::shop::gateway::entries::{Entries, EntryKind};
use workers::shop::gateway::simulated::SuccessRate;
use workers::shop::inventory::Inventory;
use workers::shop::notification::{Notification, SentNotifications};
use workers::shop::payment::Payment;
use workers::shop::stock::Stock;
use workers::shop::stock::memory::MemoryStock;
use workers::sql::Db;

/// A payment worker and its books.
async fn payment(rate: SuccessRate) -> (Bench, Entries) {
    let entries = Entries::new(Db::new(database::sqlite().await).unwrap());
    let gateway = Arc::new(SimulatedGateway::new(entries.clone(), rate));
    (Bench::new(Payment::new(gateway), Arc::new(MemoryLedger::default()), LONG), entries)
}

fn charge(saga: SagaId, method: Option<&str>) -> Ask {
    Ask::action(saga, "charge-payment", payload(saga, &[], method))
}

async fn kinds(entries: &Entries, saga: SagaId) -> Vec<EntryKind> {
    entries.of_order(saga.uuid()).await.unwrap().into_iter().map(|moved| moved.kind).collect()
}

#[tokio::test]
async fn payment_methods_answer_as_test_cards() {
    let (bench, entries) = payment(SuccessRate::ALL).await;
    use EntryKind::{Capture, Refund};
    let flaky = "RETRYABLE GATEWAY_BUSY";
    for (method, answers, booked) in [
        ("pm_approve", &["SUCCEEDED", "SUCCEEDED"][..], &[Capture][..]),
        ("pm_decline", &["REJECTED PAYMENT_DECLINED", "REJECTED PAYMENT_DECLINED"], &[]),
        ("pm_flaky", &[flaky, flaky, "SUCCEEDED", "SUCCEEDED"], &[Capture]),
        ("pm_timeout", &["silence", "SUCCEEDED", "SUCCEEDED"], &[Capture]),
        ("pm_hang", &["silence"; 5], &[Capture]),
        ("pm_refund_fails", &["silence"; 5], &[Capture]),
        ("pm_unheard_of", &["REJECTED PAYMENT_DECLINED"], &[]),
    ] {
        let asked = charge(new_saga(), Some(method));
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(bench.ask(&asked.attempt(n as u32 + 1)).await, *answer, "{method} attempt {}", n + 1);
        }
        assert_eq!(kinds(&entries, asked.saga).await, booked, "{method}");
        let undo = asked.undo();
        if method == "pm_refund_fails" {
            for attempt in 1..=12 {
                assert_eq!(bench.ask(&undo.attempt(attempt)).await, "RETRYABLE REFUND_FAILED", "attempt {attempt}");
            }
            assert_eq!(kinds(&entries, asked.saga).await, [Capture]);
        }
        let charged = !booked.is_empty();
        let answer = if charged { "SUCCEEDED undone" } else { "SUCCEEDED nothing" };
        assert_eq!(bench.ask(&undo.attempt(13)).await, answer, "{method}");
        assert_eq!(bench.ask(&undo.attempt(14)).await, answer, "{method}");
        let after: &[EntryKind] = if charged { &[Capture, Refund] } else { &[] };
        assert_eq!(kinds(&entries, asked.saga).await, after, "{method}");
    }
}

#[tokio::test]
async fn a_charge_that_never_came_is_never_made() {
    let (bench, entries) = payment(SuccessRate::ALL).await;
    let asked = charge(new_saga(), Some("pm_approve"));
    assert_eq!(bench.ask(&asked.undo()).await, "SUCCEEDED nothing");
    assert_eq!(bench.ask(&asked).await, "REJECTED COMPENSATED_ALREADY");
    assert_eq!(kinds(&entries, asked.saga).await, []);
}

#[tokio::test]
async fn the_rate_decides_by_the_order_alone() {
    let (bench, entries) = payment(SuccessRate::new(0.5).unwrap()).await;
    let sagas: Vec<SagaId> = (0..60).map(|_| new_saga()).collect();
    let mut answers = Vec::new();
    for saga in &sagas {
        answers.push(bench.ask(&charge(*saga, None)).await);
    }
    assert!(answers.iter().any(|answer| answer == "SUCCEEDED"));
    assert!(answers.iter().any(|answer| answer == "REJECTED PAYMENT_DECLINED"));
    for (saga, answer) in sagas.iter().zip(&answers) {
        // In another round, which is decided anew, it is the same.
        assert_eq!(bench.ask(&charge(*saga, None).round(2)).await, *answer);
        let captures = kinds(&entries, *saga).await.len();
        assert_eq!(captures, if answer == "SUCCEEDED" { 2 } else { 0 });
    }
}

#[tokio::test]
async fn amounts_are_exact_and_entries_say_what_moved() {
    let (bench, entries) = payment(SuccessRate::ALL).await;
    for (amount, minor) in [(json!(499.99), 49_999), (json!(500), 50_000), (json!("0.1"), 10)] {
        let mut asked = charge(new_saga(), None);
        asked.payload["totalAmount"] = amount;
        asked.payload["currency"] = json!("CHF");
        assert_eq!(bench.ask(&asked).await, "SUCCEEDED");
        let moved = entries.of_order(asked.saga.uuid()).await.unwrap().remove(0);
        assert_eq!((moved.amount.minor(), moved.currency.as_str()), (minor, "CHF"));
    }
    // An order with another id than its saga is found by it.
    let (mut asked, order) = (charge(new_saga(), None), Uuid::new_v4());
    asked.payload["orderId"] = json!(order);
    bench.ask(&asked).await;
    bench.ask(&asked.undo()).await;
    assert_eq!(entries.of_order(order).await.unwrap().len(), 2);
    assert!(entries.of_order(asked.saga.uuid()).await.unwrap().is_empty());
}

#[tokio::test]
async fn payloads_that_make_no_sense_are_dead_letters() {
    let (payments, _) = payment(SuccessRate::ALL).await;
    let stock = Arc::new(MemoryStock::new(Some(100)));
    let inventory = Bench::new(Inventory::new(stock), Arc::new(MemoryLedger::default()), LONG);
    let db = Db::new(database::sqlite().await).unwrap();
    let notifications = Bench::new(Notification::new(db), Arc::new(MemoryLedger::default()), LONG);
    let sku = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    for (bench, field, value, code) in [
        (&payments, "totalAmount", None, "MISSING_FIELD"),
        (&payments, "currency", None, "MISSING_FIELD"),
        (&payments, "totalAmount", Some(json!(1.234)), "WRONG_TYPE"),
        (&payments, "totalAmount", Some(json!(null)), "WRONG_TYPE"),
        (&payments, "currency", Some(json!("a\u{0}")), "WRONG_TYPE"),
        (&payments, "currency", Some(json!(5)), "WRONG_TYPE"),
        (&payments, "orderId", Some(json!("x")), "WRONG_TYPE"),
        (&payments, "paymentMethod", Some(json!(5)), "WRONG_TYPE"),
        (&inventory, "items", None, "MISSING_FIELD"),
        (&inventory, "items", Some(json!([])), "WRONG_TYPE"),
        (&inventory, "items", Some(json!({"x": 1})), "WRONG_TYPE"),
        (&inventory, "items", Some(json!({sku: "1"})), "WRONG_TYPE"),
        (&inventory, "items", Some(json!({sku: 1.5})), "WRONG_TYPE"),
        (&inventory, "items", Some(json!({sku: -1})), "WRONG_TYPE"),
        (&inventory, "items", Some(json!({sku: 1_000_001})), "WRONG_TYPE"),
        (&notifications, "outcome", None, "MISSING_FIELD"),
        (&notifications, "outcome", Some(json!({})), "WRONG_TYPE"),
    ] {
        let saga = new_saga();
        let mut body = payload(saga, &[], None);
        match &value {
            Some(value) => body[field] = value.clone(),
            None => drop(body.as_object_mut().unwrap().remove(field)),
        }
        let asked = Ask::action(saga, "a step", body);
        assert_eq!(bench.ask(&asked).await, "silence", "{field} {value:?}");
        let letter = bench.letters.0.lock().unwrap().pop().expect("a dead letter");
        assert_eq!(letter.why.code.as_str(), code, "{field} {value:?}");
        // Its compensation asks for nothing that was missing.
        let undo = Ask { payload: json!({"orderId": saga, "reason": {"code": "X", "message": "y"}}), ..asked.undo() };
        assert_eq!(bench.ask(&undo).await, "SUCCEEDED nothing");
    }
}

#[tokio::test]
async fn lines_of_nothing_and_one_product_in_two_spellings() {
    let stock = Arc::new(MemoryStock::new(Some(100)));
    let bench =
        Bench::new(Inventory::new(Arc::clone(&stock) as Arc<dyn Stock>), Arc::new(MemoryLedger::default()), LONG);
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let saga = new_saga();
    let items: Value = json!({one.to_string(): 60, two.to_string(): 0, one.to_string().to_uppercase(): 40});
    let asked = Ask::action(saga, "reserve-inventory", json!({"orderId": saga, "items": items}));
    assert_eq!(bench.ask(&asked).await, "SUCCEEDED");
    assert_eq!(stock.level(one).await.unwrap().unwrap().reserved, 100);
    assert_eq!(stock.level(two).await.unwrap(), None, "nobody asked for it");
    let more = Ask::action(new_saga(), "reserve-inventory", json!({"items": items}));
    assert_eq!(bench.ask(&more).await, "REJECTED INSUFFICIENT_STOCK");
}

#[tokio::test]
async fn notifications_go_out_once_per_outcome() {
    let db = Db::new(database::sqlite().await).unwrap();
    let sent = SentNotifications::new(db.clone());
    let bench = Bench::new(Notification::new(db), Arc::new(MemoryLedger::default()), LONG);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let saga = new_saga();
    let tell = |round, outcome: &str| {
        let payload = json!({"orderId": saga, "outcome": outcome, "steps": {}});
        Ask::action(saga, "notify-customer", payload).round(round)
    };
    for asked in [tell(1, "CONFIRMED"), tell(1, "CONFIRMED").attempt(2), tell(2, "CANCELLED"), tell(3, "CANCELLED")] {
        assert_eq!(bench.ask(&asked).await, "SUCCEEDED");
    }
    drop(guard);
    let told: Vec<String> =
        sent.of_order(saga.uuid()).await.unwrap().into_iter().map(|notified| notified.outcome).collect();
    assert_eq!(told, ["CONFIRMED", "CANCELLED"]);
    let lines = log.lines("Notification sent");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, outcome) in lines.iter().zip(["CONFIRMED", "CANCELLED"]) {
        let fields = &line["fields"];
        assert_eq!(fields["order.id"], json!(saga));
        assert_eq!(fields["saga.id"], json!(saga));
        assert_eq!(fields["outcome"], outcome);
    }
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["fields"]["message"] == message).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
