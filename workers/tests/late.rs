//! Workers that were taken for dead and wake up, and calls that fail after they did what they were asked.

mod common;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use common::commands::{Ask, new_saga, payload};
use common::database;
use common::parts::{Bench, LONG};
use futures::future::BoxFuture;
use saga_model::SagaId;
use saga_model::money::Amount;
use saga_model::state::Kind;
use uuid::Uuid;
use workers::ledger::memory::MemoryLedger;
use workers::ledger::{ClaimId, Ledger, Question};
use workers::participant::EffectKey;
use workers::shop::gateway::entries::{Entries, EntryKind};
use workers::shop::gateway::simulated::SuccessRate;
use workers::shop::gateway::{Captured, Charge, Gateway, Method, SimulatedGateway};
use workers::shop::inventory::Inventory;
use workers::shop::payment::Payment;
use workers::shop::stock::memory::MemoryStock;
use workers::shop::stock::sql::SqlStock;
use workers::shop::stock::{Change, Changed, Level, Line, RedisStock, Reserved, StepKey, Stock, Want};
use workers::sql::Db;
use workers::trouble::{Part, Trouble};

const RESERVE: &str = "reserve-inventory";
const CHARGE: &str = "charge-payment";

type Meddling = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), Trouble>> + Send>;

/// A stock with which something happens once, between the end of a reservation and its answer.
struct Meddled {
    stock: Arc<dyn Stock>,
    then: Mutex<Option<Meddling>>,
}

#[async_trait]
impl Stock for Meddled {
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble> {
        let answers = self.stock.reserve(wants).await?;
        let then = self.then.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            then().await?;
        }
        Ok(answers)
    }
    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
        self.stock.settle(keys).await
    }
    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble> {
        self.stock.release(steps).await
    }
    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        self.stock.sell(sagas).await
    }
    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble> {
        self.stock.level(sku).await
    }
    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
        self.stock.levels(after, limit).await
    }
    async fn set(&self, change: &Change) -> Result<Changed, Trouble> {
        self.stock.set(change).await
    }
}

/// One unit of a product, set apart for another order, and an action that a worker began and did not get further with.
struct Late {
    stock: Arc<dyn Stock>,
    sku: Uuid,
    other: SagaId,
    ledger: Arc<dyn Ledger>,
    asked: Ask,
}

fn key(saga: SagaId, step: &str) -> EffectKey {
    EffectKey { saga, step: Arc::from(step), round: 1 }
}

/// A worker takes the command and falls silent before it does anything; its lease is over at once.
async fn begins(ledger: &Arc<dyn Ledger>, asked: &Ask) {
    let question = Question { key: key(asked.saga, asked.step), kind: Kind::Action, attempt: 1 };
    ledger.claim(ClaimId::new(), Duration::ZERO, &[question]).await.unwrap();
}

/// What the worker does when it wakes up.
async fn wakes(stock: &Arc<dyn Stock>, saga: SagaId, sku: Uuid) -> Reserved {
    let want = Want { key: key(saga, RESERVE), lines: [Line { sku, quantity: 1 }].into(), repeated: false };
    stock.reserve(&[want]).await.unwrap().remove(0)
}

impl Late {
    async fn new(stock: Arc<dyn Stock>) -> Self {
        let (sku, saga, other) = (Uuid::new_v4(), new_saga(), new_saga());
        let change = Change { sku, on_hand: 1, actor: None, reason: "a test".to_owned() };
        stock.set(&change).await.unwrap();
        assert_eq!(wakes(&stock, other, sku).await, Reserved::Yes);
        let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
        let asked = Ask::action(saga, RESERVE, payload(saga, &[(sku, 1)], None));
        begins(&ledger, &asked).await;
        Self { stock, sku, other, ledger, asked }
    }

    /// Another worker that gets the command; `then` happens before it hears what came of its reservation.
    fn bench(&self, then: Option<Meddling>) -> Bench {
        let stock = Meddled { stock: Arc::clone(&self.stock), then: Mutex::new(then) };
        Bench::new(Inventory::new(Arc::new(stock)), Arc::clone(&self.ledger), LONG)
    }

    async fn release(&self, saga: SagaId) -> bool {
        self.stock.release(&[(saga, Arc::from(RESERVE))]).await.unwrap().remove(0)
    }

    async fn reserved(&self) -> i64 {
        self.stock.level(self.sku).await.unwrap().unwrap().reserved
    }
}

async fn a_refusal_keeps_an_earlier_attempt_out(stock: Arc<dyn Stock>) {
    let late = Late::new(stock).await;
    let bench = late.bench(None);
    assert_eq!(bench.ask(&late.asked).await, "REJECTED INSUFFICIENT_STOCK");
    assert!(late.release(late.other).await);
    assert_eq!(wakes(&late.stock, late.asked.saga, late.sku).await, Reserved::KeptOut);
    assert_eq!(late.reserved().await, 0);
    assert_eq!(bench.ask(&late.asked.attempt(2)).await, "REJECTED INSUFFICIENT_STOCK");
    assert_eq!(wakes(&late.stock, new_saga(), late.sku).await, Reserved::Yes, "nothing is lost");
}

async fn what_an_earlier_attempt_did_meanwhile_is_not_refused(stock: Arc<dyn Stock>) {
    let late = Late::new(stock).await;
    let (stock, other, saga, sku) = (Arc::clone(&late.stock), late.other, late.asked.saga, late.sku);
    let bench = late.bench(Some(Box::new(move || {
        Box::pin(async move {
            stock.release(&[(other, Arc::from(RESERVE))]).await.unwrap();
            assert_eq!(wakes(&stock, saga, sku).await, Reserved::Yes);
            Ok(())
        })
    })));
    assert_eq!(bench.ask(&late.asked).await, "SUCCEEDED");
    assert_eq!(bench.ask(&late.asked.attempt(2)).await, "SUCCEEDED");
    assert_eq!(late.reserved().await, 1);
    assert_eq!(bench.ask(&late.asked.undo()).await, "SUCCEEDED undone");
    assert_eq!(late.reserved().await, 0);
}

/// The tests above, for each kind of stock.
macro_rules! stocks {
    ($($name:ident: $stock:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn a_refusal_keeps_an_earlier_attempt_out() {
                super::a_refusal_keeps_an_earlier_attempt_out($stock).await;
            }

            #[tokio::test]
            async fn what_an_earlier_attempt_did_meanwhile_is_not_refused() {
                super::what_an_earlier_attempt_did_meanwhile_is_not_refused($stock).await;
            }
        }
    )*};
}

stocks! {
    memory: Arc::new(MemoryStock::new(None));
    sqlite: Arc::new(SqlStock::new(Db::new(database::sqlite().await).unwrap(), None));
    postgres: Arc::new(SqlStock::new(Db::new(database::postgres().await).unwrap(), None));
    redis: redis().await.0;
}

/// Redis in front of Postgres, and the name under which its keys are.
async fn redis() -> (Arc<RedisStock>, String) {
    let name = format!("late-{}", Uuid::new_v4());
    let db = Db::new(database::postgres().await).unwrap();
    let stock = RedisStock::new(db, &database::setting("REDIS_URL"), &name, Duration::from_secs(5), None);
    (Arc::new(stock.unwrap()), name)
}

/// The answer of the database is lost after it has entered the reservation, and Redis forgets everything: the second
/// try finds no unit left, for it is this very order that has it.
#[tokio::test]
async fn a_call_that_failed_half_way_is_not_refused_what_it_did() {
    let (stock, name) = redis().await;
    let late = Late::new(stock).await;
    assert!(late.release(late.other).await);
    let bench = late.bench(Some(Box::new(move || {
        Box::pin(async move {
            let client = ::redis::Client::open(database::setting("REDIS_URL")).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let marker = format!("{{{name}}}:generation");
            ::redis::cmd("DEL").arg(marker).query_async::<()>(&mut connection).await.unwrap();
            Err(Trouble::Away { part: Part::Database, detail: "the connection was lost".to_owned() })
        })
    })));
    let fresh = Ask { saga: new_saga(), ..late.asked.clone() };
    assert_eq!(bench.ask(&fresh).await, "SUCCEEDED");
    assert_eq!(late.reserved().await, 1);
    assert_eq!(bench.ask(&fresh.undo()).await, "SUCCEEDED undone");
    assert_eq!(late.reserved().await, 0);
}

/// A bank that declines today what it would have taken yesterday.
#[tokio::test]
async fn a_declined_payment_is_not_captured_later() {
    let entries = Entries::new(Db::new(database::sqlite().await).unwrap());
    let declines = SimulatedGateway::new(entries.clone(), SuccessRate::new(0.0).unwrap());
    let takes = SimulatedGateway::new(entries.clone(), SuccessRate::ALL);
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let bench = Bench::new(Payment::new(Arc::new(declines)), Arc::clone(&ledger), LONG);
    let charge = |saga: SagaId| Charge {
        key: key(saga, CHARGE),
        order: saga.uuid(),
        amount: Amount::parse("499.99").unwrap(),
        currency: "USD".to_owned(),
        method: Method::Unnamed,
        attempt: 1,
    };
    let asked = |saga| Ask::action(saga, CHARGE, payload(saga, &[], None));

    // The worker wakes up after the refusal.
    let late = asked(new_saga());
    begins(&ledger, &late).await;
    assert_eq!(bench.ask(&late).await, "REJECTED PAYMENT_DECLINED");
    let captured = takes.capture(&[charge(late.saga)]).await.unwrap().remove(0);
    assert!(matches!(&captured, Captured::Declined(why) if why.code == "COMPENSATED_ALREADY"), "{captured:?}");
    assert_eq!(entries.of_order(late.saga.uuid()).await.unwrap(), []);

    // It wakes up before.
    let early = asked(new_saga());
    begins(&ledger, &early).await;
    assert_eq!(takes.capture(&[charge(early.saga)]).await.unwrap(), [Captured::Yes]);
    assert_eq!(bench.ask(&early).await, "SUCCEEDED");
    assert_eq!(bench.ask(&early.undo()).await, "SUCCEEDED undone");
    let kinds: Vec<EntryKind> =
        entries.of_order(early.saga.uuid()).await.unwrap().into_iter().map(|moved| moved.kind).collect();
    assert_eq!(kinds, [EntryKind::Capture, EntryKind::Refund]);
}
