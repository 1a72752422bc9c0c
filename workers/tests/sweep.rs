//! Every order of ACTION and COMPENSATE, in rounds 1 and 2, up to five commands long, against each worker on each
//! ledger: the answers are those of docs/participants.md, each effect happens at most once, and nothing stands after a
//! COMPENSATE. All orders run side by side, as one batch per command.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::commands::{Ask, new_saga, payload, short};
use common::database;
use common::parts::{Bench, LONG};
use saga_model::SagaId;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use uuid::Uuid;
use workers::ledger::Ledger;
use workers::ledger::memory::MemoryLedger;
use workers::ledger::sql::SqlLedger;
use workers::shop::gateway::SimulatedGateway;
use workers::shop::gateway::entries::Entries;
use workers::shop::gateway::simulated::SuccessRate;
use workers::shop::inventory::Inventory;
use workers::shop::notification::Notification;
use workers::shop::payment::Payment;
use workers::shop::stock::sql::SqlStock;
use workers::sql::Db;

/// A command of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Act(u32),
    Undo(u32),
}

const ALPHABET: [Say; 4] = [Say::Act(1), Say::Act(2), Say::Undo(1), Say::Undo(2)];
const LONGEST: u32 = 5;

/// All orders of up to [`LONGEST`] commands.
fn orders() -> Vec<Vec<Say>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..LONGEST {
        let longer = |order: &Vec<Say>| ALPHABET.map(|say| [order.as_slice(), &[say]].concat());
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// What a worker has to answer, from the words of docs/participants.md and not from its code; and which rounds have an
/// effect at the end. `refused` is the code with which this participant refuses its action, if it does.
fn expected(order: &[Say], refused: Option<&str>) -> (Vec<String>, Vec<u32>) {
    let (mut answers, mut effects) = (Vec::new(), Vec::new());
    let (mut highest, mut tombstone) = (0, None);
    for say in order {
        answers.push(match (*say, tombstone) {
            (Say::Act(_), Some(_)) => "REJECTED COMPENSATED_ALREADY".to_owned(),
            (Say::Act(round), None) if round < highest => "REJECTED SUPERSEDED".to_owned(),
            (Say::Act(round), None) => {
                highest = round;
                match refused {
                    Some(code) => format!("REJECTED {code}"),
                    None => {
                        if !effects.contains(&round) {
                            effects.push(round);
                        }
                        "SUCCEEDED".to_owned()
                    }
                }
            }
            (Say::Undo(_), Some(undone)) => undo_answer(undone),
            (Say::Undo(_), None) => {
                tombstone = Some(!effects.is_empty());
                undo_answer(!effects.is_empty())
            }
        });
    }
    (answers, effects)
}

fn undo_answer(undone: bool) -> String {
    format!("SUCCEEDED {}", if undone { "undone" } else { "nothing" })
}

/// Runs all orders, each as a saga of its own, and compares the answers.
async fn sweep(
    bench: &Bench,
    step: &'static str,
    method: Option<&str>,
    sku: Uuid,
    refused: Option<&str>,
) -> Vec<(SagaId, Vec<Say>)> {
    let sagas: Vec<(SagaId, Vec<Say>)> = orders().into_iter().map(|order| (new_saga(), order)).collect();
    let mut answers: BTreeMap<SagaId, Vec<String>> = BTreeMap::new();
    for place in 0..LONGEST as usize {
        let ask = |(saga, order): &(SagaId, Vec<Say>)| {
            let action = Ask::action(*saga, step, payload(*saga, &[(sku, 1)], method)).attempt(place as u32 + 1);
            Some(match order.get(place)? {
                Say::Act(round) => action.round(*round).delivery(),
                Say::Undo(round) => action.round(*round).undo().delivery(),
            })
        };
        for reply in bench.handle(sagas.iter().filter_map(ask).collect()).await {
            answers.entry(reply.saga_id).or_default().push(short(&reply));
        }
    }
    for (saga, order) in &sagas {
        let got = answers.remove(saga).unwrap_or_default();
        assert_eq!(got, expected(order, refused).0, "{step} {order:?}");
    }
    assert!(bench.letters.0.lock().unwrap().is_empty());
    sagas
}

async fn count(db: &DatabaseConnection, sql: &str, saga: SagaId) -> i64 {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [saga.uuid().into()]);
    db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

fn undone(order: &[Say]) -> bool {
    order.iter().any(|say| matches!(say, Say::Undo(_)))
}

async fn inventory(db: DatabaseConnection, ledger: Arc<dyn Ledger>) {
    let sku = Uuid::new_v4();
    let stock = Arc::new(SqlStock::new(Db::new(db.clone()).unwrap(), Some(1_000_000)));
    let bench = Bench::new(Inventory::new(stock), ledger, LONG);
    let sagas = sweep(&bench, "reserve-inventory", None, sku, None).await;
    let mut standing = 0;
    for (saga, order) in &sagas {
        let rounds = expected(order, None).1.len() as i64;
        let standing_here =
            count(&db, "SELECT count(*) FROM reservation WHERE saga_id = $1 AND status = 0", *saga).await;
        let held = count(&db, "SELECT count(*) FROM reservation WHERE saga_id = $1 AND held", *saga).await;
        assert_eq!(held, rounds, "{order:?}");
        assert_eq!(standing_here, if undone(order) { 0 } else { rounds }, "{order:?}");
        standing += standing_here;
    }
    let reserved = "SELECT reserved + 0 * (SELECT count(*) FROM reservation WHERE saga_id = $1) FROM stock";
    assert_eq!(count(&db, reserved, sagas[0].0).await, standing);
}

async fn short_of_stock(db: DatabaseConnection, ledger: Arc<dyn Ledger>) {
    let stock = Arc::new(SqlStock::new(Db::new(db.clone()).unwrap(), Some(0)));
    let bench = Bench::new(Inventory::new(stock), ledger, LONG);
    sweep(&bench, "reserve-inventory", None, Uuid::new_v4(), Some("INSUFFICIENT_STOCK")).await;
}

async fn payment(db: DatabaseConnection, ledger: Arc<dyn Ledger>) {
    let entries = Entries::new(Db::new(db.clone()).unwrap());
    let gateway = Arc::new(SimulatedGateway::new(entries.clone(), SuccessRate::ALL));
    let bench = Bench::new(Payment::new(gateway), ledger, LONG);
    for (saga, order) in sweep(&bench, "charge-payment", Some("pm_approve"), Uuid::nil(), None).await {
        let rounds = expected(&order, None).1.len() as i64;
        let captures = count(&db, "SELECT count(*) FROM payment_entry WHERE saga_id = $1 AND kind = 0", saga).await;
        let refunds = count(&db, "SELECT count(*) FROM payment_entry WHERE saga_id = $1 AND kind = 2", saga).await;
        assert_eq!(captures, rounds, "{order:?}");
        assert_eq!(refunds, if undone(&order) { rounds } else { 0 }, "{order:?}");
        assert_eq!(entries.of_order(saga.uuid()).await.unwrap().len() as i64, captures + refunds);
    }
    sweep(&bench, "charge-declined", Some("pm_decline"), Uuid::nil(), Some("PAYMENT_DECLINED")).await;
}

async fn notification(db: DatabaseConnection, ledger: Arc<dyn Ledger>) {
    let bench = Bench::new(Notification::new(Db::new(db.clone()).unwrap()), ledger, LONG);
    for (saga, order) in sweep(&bench, "notify-customer", None, Uuid::nil(), None).await {
        // Both rounds have the same outcome here, and each outcome is told once.
        let said = count(&db, "SELECT count(*) FROM notification_sent WHERE saga_id = $1", saga).await;
        assert_eq!(said, i64::from(!expected(&order, None).1.is_empty()), "{order:?}");
    }
}

/// Each participant on each ledger.
macro_rules! sweeps {
    ($($name:ident: $database:ident, $ledger:expr;)*) => {$(
        mod $name {
            use super::*;

            async fn parts() -> (DatabaseConnection, Arc<dyn Ledger>) {
                let db = database::$database().await;
                let ledger: fn(Db) -> Arc<dyn Ledger> = $ledger;
                let ledger = ledger(Db::new(db.clone()).unwrap());
                (db, ledger)
            }

            #[tokio::test]
            async fn inventory() {
                let (db, ledger) = parts().await;
                super::inventory(db, ledger).await;
            }

            #[tokio::test]
            async fn short_of_stock() {
                let (db, ledger) = parts().await;
                super::short_of_stock(db, ledger).await;
            }

            #[tokio::test]
            async fn payment() {
                let (db, ledger) = parts().await;
                super::payment(db, ledger).await;
            }

            #[tokio::test]
            async fn notification() {
                let (db, ledger) = parts().await;
                super::notification(db, ledger).await;
            }
        }
    )*};
}

sweeps! {
    memory: sqlite, |_| Arc::new(MemoryLedger::default());
    sqlite: sqlite, |db| Arc::new(SqlLedger::new(db));
    postgres: postgres, |db| Arc::new(SqlLedger::new(db));
}

/// What the expectation itself says about a few orders, spelled out.
#[test]
fn the_expectation_is_the_duty() {
    let check = |order: &[Say], answers: &[&str]| assert_eq!(expected(order, None).0, answers, "{order:?}");
    use Say::{Act, Undo};
    check(&[Act(1), Act(1)], &["SUCCEEDED", "SUCCEEDED"]);
    check(&[Act(2), Act(1)], &["SUCCEEDED", "REJECTED SUPERSEDED"]);
    check(
        &[Undo(1), Act(1), Act(2), Undo(1)],
        &["SUCCEEDED nothing", "REJECTED COMPENSATED_ALREADY", "REJECTED COMPENSATED_ALREADY", "SUCCEEDED nothing"],
    );
    check(&[Act(1), Undo(1), Undo(2)], &["SUCCEEDED", "SUCCEEDED undone", "SUCCEEDED undone"]);
    assert_eq!(orders().len(), 1365);
}
