//! What every kind of stock does: one suite in memory, on SQL alone, and on Redis in front of SQL, whose memory is wiped
//! at every turn. Each has two workers on the same shelf.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::commands::new_saga;
use common::database;
use futures::future::{BoxFuture, join_all};
use saga_model::SagaId;
use uuid::Uuid;
use workers::participant::EffectKey;
use workers::shop::stock::memory::MemoryStock;
use workers::shop::stock::sql::SqlStock;
use workers::shop::stock::{Change, Changed, Level, Line, RedisStock, Reserved, Stock, Want};
use workers::sql::Db;

const STEP: &str = "reserve-inventory";

/// A shelf with two workers on it.
struct Shelf {
    one: Arc<dyn Stock>,
    two: Arc<dyn Stock>,
    /// Makes whatever may forget forget everything.
    forget: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

fn new_sku() -> Uuid {
    Uuid::new_v4()
}

fn key(saga: SagaId, round: u32) -> EffectKey {
    EffectKey { saga, step: Arc::from(STEP), round }
}

fn want(saga: SagaId, lines: &[(Uuid, u32)]) -> Want {
    let lines = lines.iter().map(|(sku, quantity)| Line { sku: *sku, quantity: *quantity }).collect();
    Want { key: key(saga, 1), lines, repeated: false }
}

impl Shelf {
    async fn put(&self, sku: Uuid, on_hand: i64) -> Changed {
        let change = Change { sku, on_hand, actor: Some("key:test".to_owned()), reason: "a test".to_owned() };
        self.one.set(&change).await.unwrap()
    }

    async fn reserve(&self, saga: SagaId, lines: &[(Uuid, u32)]) -> Reserved {
        self.one.reserve(&[want(saga, lines)]).await.unwrap().remove(0)
    }

    async fn again(&self, saga: SagaId, lines: &[(Uuid, u32)]) -> Reserved {
        let want = Want { repeated: true, ..want(saga, lines) };
        self.two.reserve(&[want]).await.unwrap().remove(0)
    }

    async fn release(&self, saga: SagaId) -> bool {
        self.one.release(&[(saga, Arc::from(STEP))]).await.unwrap().remove(0)
    }

    async fn sell(&self, saga: SagaId) {
        self.one.sell(&[saga]).await.unwrap();
    }

    async fn settle(&self, saga: SagaId) -> bool {
        self.two.settle(&[key(saga, 1)]).await.unwrap().remove(0)
    }

    async fn forget(&self) {
        (self.forget)().await;
    }

    /// On hand, available, reserved and sold, which both workers agree on.
    async fn level(&self, sku: Uuid) -> (i64, i64, i64, i64) {
        let level = self.one.level(sku).await.unwrap().expect("the product is known");
        assert_eq!(self.two.level(sku).await.unwrap(), Some(level));
        (level.on_hand, level.available(), level.reserved, level.sold)
    }

    /// Takes everything that can be taken, to see how much Redis (or whoever admits) believes there is.
    async fn drain(&self, sku: Uuid) -> i64 {
        let mut taken = 0;
        while self.reserve(new_saga(), &[(sku, 1)]).await == Reserved::Yes {
            taken += 1;
        }
        taken
    }
}

async fn sets_apart_all_lines_or_none(shelf: Shelf) {
    let (apples, pears) = (new_sku(), new_sku());
    shelf.put(apples, 5).await;
    shelf.put(pears, 1).await;
    let short = Reserved::Short { line: Line { sku: pears, quantity: 2 }, available: 1 };
    assert_eq!(shelf.reserve(new_saga(), &[(apples, 2), (pears, 2)]).await, short);
    assert_eq!(shelf.level(apples).await, (5, 5, 0, 0));
    assert_eq!(shelf.reserve(new_saga(), &[(apples, 2), (pears, 1)]).await, Reserved::Yes);
    assert_eq!(shelf.level(apples).await, (5, 3, 2, 0));
    assert_eq!(shelf.level(pears).await, (1, 0, 1, 0));
    shelf.forget().await;
    assert_eq!(shelf.drain(apples).await, 3);
    assert_eq!(shelf.drain(pears).await, 0);
}

async fn the_same_reservation_is_one(shelf: Shelf) {
    let (sku, saga) = (new_sku(), new_saga());
    shelf.put(sku, 5).await;
    assert_eq!(shelf.reserve(saga, &[(sku, 2)]).await, Reserved::Yes);
    assert_eq!(shelf.reserve(saga, &[(sku, 2)]).await, Reserved::Yes);
    assert_eq!(shelf.again(saga, &[(sku, 2)]).await, Reserved::Yes);
    shelf.forget().await;
    assert_eq!(shelf.reserve(saga, &[(sku, 2)]).await, Reserved::Yes, "as if it had never been begun");
    assert_eq!(shelf.again(saga, &[(sku, 2)]).await, Reserved::Yes);
    assert_eq!(shelf.level(sku).await, (5, 3, 2, 0));
    assert_eq!(shelf.drain(sku).await, 3);
}

async fn rounds_are_reservations_of_their_own(shelf: Shelf) {
    let (sku, saga) = (new_sku(), new_saga());
    shelf.put(sku, 5).await;
    for round in [1, 2] {
        let want = Want { key: key(saga, round), ..want(saga, &[(sku, 2)]) };
        assert_eq!(shelf.one.reserve(&[want]).await.unwrap(), [Reserved::Yes]);
    }
    assert_eq!(shelf.level(sku).await, (5, 1, 4, 0));
    assert!(shelf.release(saga).await);
    assert_eq!(shelf.level(sku).await, (5, 5, 0, 0));
    assert_eq!(shelf.drain(sku).await, 5);
}

async fn sold_once(shelf: Shelf) {
    let (sku, saga) = (new_sku(), new_saga());
    shelf.put(sku, 5).await;
    shelf.sell(saga).await;
    shelf.reserve(saga, &[(sku, 2)]).await;
    shelf.sell(saga).await;
    assert_eq!(shelf.level(sku).await, (5, 3, 0, 2));
    shelf.forget().await;
    shelf.one.sell(&[saga, saga, new_saga()]).await.unwrap();
    assert_eq!(shelf.again(saga, &[(sku, 2)]).await, Reserved::Yes, "what is sold was set apart");
    assert_eq!(shelf.level(sku).await, (5, 3, 0, 2));
    assert_eq!(shelf.drain(sku).await, 3);
}

async fn released_once(shelf: Shelf) {
    let sku = new_sku();
    shelf.put(sku, 5).await;
    for sold in [false, true] {
        let saga = new_saga();
        shelf.reserve(saga, &[(sku, 2)]).await;
        if sold {
            shelf.sell(saga).await;
        }
        assert!(shelf.release(saga).await);
        assert_eq!(shelf.level(sku).await, (5, 5, 0, 0));
        assert!(shelf.release(saga).await, "it says the same again");
        shelf.sell(saga).await;
        assert_eq!(shelf.reserve(saga, &[(sku, 2)]).await, Reserved::KeptOut);
        assert_eq!(shelf.again(saga, &[(sku, 2)]).await, Reserved::KeptOut);
        assert_eq!(shelf.level(sku).await, (5, 5, 0, 0));
        shelf.forget().await;
        assert!(shelf.release(saga).await);
        assert_eq!(shelf.reserve(saga, &[(sku, 2)]).await, Reserved::KeptOut);
    }
    assert!(!shelf.release(new_saga()).await, "there was nothing");
    assert_eq!(shelf.drain(sku).await, 5);
}

async fn settled_for_good(shelf: Shelf) {
    let (sku, there, absent) = (new_sku(), new_saga(), new_saga());
    shelf.put(sku, 5).await;
    shelf.reserve(there, &[(sku, 2)]).await;
    assert!(shelf.settle(there).await);
    assert!(!shelf.settle(absent).await);
    assert!(!shelf.settle(absent).await);
    assert_eq!(shelf.reserve(absent, &[(sku, 2)]).await, Reserved::KeptOut);
    assert!(!shelf.release(absent).await, "there was nothing");
    assert_eq!(shelf.reserve(absent, &[(sku, 2)]).await, Reserved::KeptOut);
    assert!(shelf.settle(there).await);
    assert!(shelf.release(there).await);
    assert!(!shelf.settle(there).await);
    assert_eq!(shelf.level(sku).await, (5, 5, 0, 0));
    assert_eq!(shelf.drain(sku).await, 5);
}

async fn products_that_nobody_knows(shelf: Shelf) {
    let (known, unknown) = (new_sku(), new_sku());
    shelf.put(known, 5).await;
    let refused = shelf.reserve(new_saga(), &[(known, 9), (unknown, 1)]).await;
    assert_eq!(refused, Reserved::UnknownSku(unknown));
    assert_eq!(shelf.one.level(unknown).await.unwrap(), None);
    shelf.put(unknown, 0).await;
    let refused = shelf.reserve(new_saga(), &[(unknown, 1)]).await;
    assert_eq!(refused, Reserved::Short { line: Line { sku: unknown, quantity: 1 }, available: 0 });
    let why = refused.refusal().unwrap();
    assert_eq!(why.code, "INSUFFICIENT_STOCK");
    assert!(why.message.contains(&unknown.to_string()), "{}", why.message);
}

async fn set_by_an_operator(shelf: Shelf) {
    let (sku, reserved, sold) = (new_sku(), new_saga(), new_saga());
    let level = |on_hand, reserved, sold| Level { sku, on_hand, reserved, sold };
    assert_eq!(shelf.put(sku, 5).await, Changed::Done(level(5, 0, 0)));
    shelf.reserve(reserved, &[(sku, 2)]).await;
    shelf.reserve(sold, &[(sku, 1)]).await;
    shelf.sell(sold).await;
    assert_eq!(shelf.put(sku, 2).await, Changed::Committed(level(5, 2, 1)));
    assert_eq!(shelf.put(sku, 3).await, Changed::Done(level(3, 2, 1)));
    assert_eq!(shelf.drain(sku).await, 0);
    assert_eq!(shelf.put(sku, 10).await, Changed::Done(level(10, 2, 1)));
    shelf.release(reserved).await;
    assert_eq!(shelf.level(sku).await, (10, 9, 0, 1));
    assert_eq!(shelf.drain(sku).await, 9);
}

async fn an_order_for_nothing(shelf: Shelf) {
    let saga = new_saga();
    assert_eq!(shelf.reserve(saga, &[]).await, Reserved::Yes);
    shelf.sell(saga).await;
    assert!(shelf.release(saga).await);
}

async fn pages(shelf: Shelf) {
    let mut skus: Vec<Uuid> = (0..5).map(|_| new_sku()).collect();
    for sku in &skus {
        shelf.put(*sku, 1).await;
    }
    skus.sort();
    let mut seen = Vec::new();
    loop {
        let page = shelf.one.levels(seen.last().copied(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|level| level.sku));
    }
    assert_eq!(seen, skus);
}

/// Two workers, batches with shared and repeated products, oversold four times, and a memory that fails in between:
/// exactly what is there is promised.
async fn nothing_is_promised_twice(shelf: Shelf) {
    let skus: Vec<Uuid> = (0..3).map(|_| new_sku()).collect();
    for sku in &skus {
        shelf.put(*sku, 40).await;
    }
    let sagas: Vec<SagaId> = (0..160).map(|_| new_saga()).collect();
    let wants: Vec<Want> =
        sagas.iter().enumerate().map(|(n, saga)| want(*saga, &[(skus[n % 3], 1), (skus[(n + 1) % 3], 1)])).collect();
    let batches = wants.chunks(10).enumerate().map(|(n, batch)| {
        let stock = if n.is_multiple_of(2) { &shelf.one } else { &shelf.two };
        async move { stock.reserve(batch).await.unwrap() }
    });
    let forgets = (0..3).map(|_| shelf.forget());
    let (reserved, _) = tokio::join!(join_all(batches), join_all(forgets));
    let promised: Vec<SagaId> = sagas
        .iter()
        .zip(reserved.into_iter().flatten())
        .filter(|(_, reserved)| *reserved == Reserved::Yes)
        .map(|(saga, _)| *saga)
        .collect();
    let mut reserved_units = 0;
    for sku in &skus {
        let (on_hand, available, reserved, sold) = shelf.level(*sku).await;
        assert_eq!((on_hand, available + reserved, sold), (40, 40, 0));
        assert!(available >= 0);
        reserved_units += reserved;
    }
    assert_eq!(reserved_units, 2 * promised.len() as i64);
    // Orders are refused for want of a product, never while both of theirs are there.
    let left = join_all(skus.iter().map(|sku| shelf.level(*sku))).await;
    assert!(left.iter().filter(|(_, available, ..)| *available > 0).count() <= 1, "{left:?}");
    for (n, saga) in promised.iter().enumerate() {
        match n % 3 {
            0 => shelf.sell(*saga).await,
            1 => assert!(shelf.release(*saga).await),
            _ => {}
        }
    }
    shelf.forget().await;
    for sku in &skus {
        let (_, available, ..) = shelf.level(*sku).await;
        assert_eq!(shelf.drain(*sku).await, available);
        assert_eq!(shelf.level(*sku).await.1, 0);
    }
}

/// The suite, for each kind.
macro_rules! suite {
    ($($name:ident: $shelf:expr;)*) => {$(
        mod $name {
            use super::*;
            suite! { @tests $shelf;
                sets_apart_all_lines_or_none the_same_reservation_is_one rounds_are_reservations_of_their_own sold_once
                released_once settled_for_good products_that_nobody_knows set_by_an_operator an_order_for_nothing pages
                nothing_is_promised_twice
            }
        }
    )*};
    (@tests $shelf:expr; $($test:ident)*) => {$(
        #[tokio::test]
        async fn $test() {
            super::$test($shelf).await;
        }
    )*};
}

/// A shelf that forgets nothing.
fn steady(one: Arc<dyn Stock>, two: Arc<dyn Stock>) -> Shelf {
    Shelf { one, two, forget: Box::new(|| Box::pin(std::future::ready(()))) }
}

fn memory() -> Shelf {
    let stock = Arc::new(MemoryStock::new(None));
    steady(Arc::clone(&stock) as Arc<dyn Stock>, stock)
}

fn sql(connection: sea_orm::DatabaseConnection) -> Shelf {
    let stock = || Arc::new(SqlStock::new(Db::new(connection.clone()).unwrap(), None));
    steady(stock(), stock())
}

/// Redis in front of Postgres, with everything in Redis at its test's mercy.
async fn redis() -> Shelf {
    let connection = database::postgres().await;
    let (url, name) = (database::setting("REDIS_URL"), format!("test-{}", Uuid::new_v4()));
    let stock = || {
        let db = Db::new(connection.clone()).unwrap();
        Arc::new(RedisStock::new(db, &url, &name, Duration::from_secs(5), None).unwrap())
    };
    let (one, two) = (stock(), stock());
    let client = ::redis::Client::open(url).unwrap();
    let forget = move || -> BoxFuture<'static, ()> {
        let client = client.clone();
        Box::pin(async move {
            // All of it, whoever else uses it: each has to live with that.
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            ::redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
        })
    };
    Shelf { one, two, forget: Box::new(forget) }
}

suite! {
    memory: memory();
    sqlite: sql(database::sqlite().await);
    postgres: sql(database::postgres().await);
    redis: redis().await;
}
