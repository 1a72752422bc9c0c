//! What Redis may do to the stock: forget a little, remember too much, and know of reservations that SQL does not.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::between::{Then, between};
use common::commands::new_saga;
use common::database;
use futures::future::BoxFuture;
use saga_model::SagaId;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;
use workers::participant::EffectKey;
use workers::shop::stock::{Change, Line, RedisStock, Reserved, Stock, Want};
use workers::sql::Db;
use workers::trouble::{Part, Trouble};

const STEP: &str = "reserve-inventory";

/// A stock with a Redis that the test can reach into.
struct Tampered {
    stock: RedisStock,
    connection: DatabaseConnection,
    name: String,
    redis: redis::aio::MultiplexedConnection,
}

fn stock(connection: &DatabaseConnection, name: &str, default_stock: Option<i64>) -> RedisStock {
    stock_at(&database::setting("REDIS_URL"), connection, name, default_stock)
}

fn stock_at(url: &str, connection: &DatabaseConnection, name: &str, default_stock: Option<i64>) -> RedisStock {
    let db = Db::new(connection.clone()).unwrap();
    RedisStock::new(db, url, name, Duration::from_secs(5), default_stock).unwrap()
}

fn change(sku: Uuid, on_hand: i64) -> Change {
    Change { sku, on_hand, actor: None, reason: "a test".to_owned() }
}

impl Tampered {
    async fn new(default_stock: Option<i64>) -> Self {
        let (connection, name) = (database::postgres().await, format!("test-{}", Uuid::new_v4()));
        let client = redis::Client::open(database::setting("REDIS_URL")).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        Self { stock: stock(&connection, &name, default_stock), connection, name, redis }
    }

    async fn put(&self, sku: Uuid, on_hand: i64) {
        self.stock.set(&change(sku, on_hand)).await.unwrap();
    }

    async fn reserve(&self, saga: SagaId, sku: Uuid, quantity: u32) -> Reserved {
        reserve(&self.stock, saga, sku, quantity).await.unwrap()
    }

    async fn release(&self, saga: SagaId) -> bool {
        self.stock.release(&[(saga, Arc::from(STEP))]).await.unwrap().remove(0)
    }

    /// Another worker, to whose Redis something happens once it was told how many units of `sku` there are.
    async fn loading(&self, sku: Uuid, then: Then) -> RedisStock {
        let sku = sku.to_string();
        let fills = move |asked: &str| asked.contains("SET") && asked.contains(&sku) && !asked.contains("EVAL");
        let url = between(&database::setting("REDIS_URL"), fills, then).await;
        stock_at(&url, &self.connection, &self.name, None)
    }

    async fn level(&self, sku: Uuid) -> (i64, i64) {
        let level = self.stock.level(sku).await.unwrap().unwrap();
        (level.available(), level.reserved)
    }

    /// What Redis believes is available of a product.
    async fn believed(&mut self, sku: Uuid) -> Option<i64> {
        let shelf = self.shelf().await;
        redis::cmd("HGET").arg(shelf).arg(sku.to_string()).query_async(&mut self.redis).await.unwrap()
    }

    async fn make_believe(&mut self, sku: Uuid, available: i64) {
        let shelf = self.shelf().await;
        let mut command = redis::cmd("HSET");
        let () = command.arg(shelf).arg(sku.to_string()).arg(available).query_async(&mut self.redis).await.unwrap();
    }

    async fn shelf(&mut self) -> String {
        let key = format!("{{{}}}:generation", self.name);
        let marker: String = redis::cmd("GET").arg(key).query_async(&mut self.redis).await.unwrap();
        format!("{{{}}}:{}:available", self.name, marker.split_once('@').unwrap().0)
    }

    /// All that is there of this stock.
    async fn keys(&mut self) -> BTreeSet<String> {
        keys(&mut self.redis, &self.name).await
    }
}

async fn keys(redis: &mut redis::aio::MultiplexedConnection, name: &str) -> BTreeSet<String> {
    redis::cmd("KEYS").arg(format!("{{{name}}}:*")).query_async(redis).await.unwrap()
}

async fn reserve(stock: &RedisStock, saga: SagaId, sku: Uuid, quantity: u32) -> Result<Reserved, Trouble> {
    let key = EffectKey { saga, step: Arc::from(STEP), round: 1 };
    let want = Want { key, lines: [Line { sku, quantity }].into(), repeated: false };
    Ok(stock.reserve(&[want]).await?.remove(0))
}

#[tokio::test]
async fn sql_has_the_last_word() {
    let mut shop = Tampered::new(None).await;
    let (sku, neighbour) = (Uuid::new_v4(), Uuid::new_v4());
    shop.put(sku, 3).await;
    shop.put(neighbour, 3).await;
    assert_eq!(shop.reserve(new_saga(), sku, 2).await, Reserved::Yes);
    // As after a restart from a file that is older than the last reservation.
    shop.make_believe(sku, 3).await;
    let line = Line { sku, quantity: 2 };
    assert_eq!(shop.reserve(new_saga(), sku, 2).await, Reserved::Short { line, available: 1 });
    assert_eq!(shop.level(sku).await, (1, 2));
    assert_eq!(shop.believed(sku).await, Some(1));
    assert_eq!(shop.reserve(new_saga(), neighbour, 3).await, Reserved::Yes);
}

#[tokio::test]
async fn a_redis_that_was_restarted_is_loaded_anew() {
    let mut shop = Tampered::new(None).await;
    let sku = Uuid::new_v4();
    shop.put(sku, 3).await;
    // The marker of a Redis that is not this one, with too little in it.
    let shelf = shop.shelf().await;
    let key = format!("{{{}}}:generation", shop.name);
    let other = format!("{}@another-run", shelf.split(':').nth(1).unwrap());
    let () = redis::cmd("SET").arg(key).arg(other).query_async(&mut shop.redis).await.unwrap();
    shop.make_believe(sku, 0).await;
    assert_eq!(shop.reserve(new_saga(), sku, 3).await, Reserved::Yes);
}

/// A worker died after Redis admitted its reservation and before SQL had it: made with a second database that SQL of
/// the first one knows nothing of, and in which the same generation counts.
async fn admitted_and_not_entered(shop: &Tampered, saga: SagaId, sku: Uuid, quantity: u32) {
    let elsewhere = database::postgres().await;
    let select = "SELECT generation FROM stock_generation";
    let row = shop.connection.query_one_raw(statement(&shop.connection, select)).await.unwrap().unwrap();
    let generation: i64 = row.try_get("", "generation").unwrap();
    for sql in [
        format!("UPDATE stock_generation SET generation = {generation}"),
        format!("INSERT INTO stock (sku, on_hand, reserved, sold) VALUES ('{sku}', 1000, 0, 0)"),
    ] {
        elsewhere.execute_unprepared(&sql).await.unwrap();
    }
    let dead = stock(&elsewhere, &shop.name, None);
    assert_eq!(reserve(&dead, saga, sku, quantity).await, Ok(Reserved::Yes));
}

fn statement(connection: &DatabaseConnection, sql: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(connection.get_database_backend(), sql)
}

#[tokio::test]
async fn a_reservation_that_only_redis_knows_is_entered_once() {
    let mut shop = Tampered::new(None).await;
    let (sku, saga) = (Uuid::new_v4(), new_saga());
    shop.put(sku, 5).await;
    admitted_and_not_entered(&shop, saga, sku, 2).await;
    assert_eq!((shop.level(sku).await, shop.believed(sku).await), ((5, 0), Some(3)));
    assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::Yes);
    assert_eq!((shop.level(sku).await, shop.believed(sku).await), ((3, 2), Some(3)));
}

#[tokio::test]
async fn a_reservation_that_only_redis_knows_is_put_back() {
    let mut shop = Tampered::new(None).await;
    let sku = Uuid::new_v4();
    shop.put(sku, 5).await;
    for by_settling_alone in [false, true] {
        let saga = new_saga();
        admitted_and_not_entered(&shop, saga, sku, 2).await;
        assert_eq!(shop.believed(sku).await, Some(3));
        let key = EffectKey { saga, step: Arc::from(STEP), round: 1 };
        assert_eq!(shop.stock.settle(&[key]).await, Ok(vec![false]));
        if !by_settling_alone {
            assert_eq!(shop.stock.release(&[(saga, Arc::from(STEP))]).await, Ok(vec![false]));
        }
        assert_eq!((shop.level(sku).await, shop.believed(sku).await), ((5, 0), Some(5)));
        assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::KeptOut);
    }
}

#[tokio::test]
async fn a_release_reaches_redis_once() {
    let mut shop = Tampered::new(None).await;
    let (sku, saga) = (Uuid::new_v4(), new_saga());
    shop.put(sku, 5).await;
    shop.reserve(saga, sku, 2).await;
    for _ in 0..3 {
        assert_eq!(shop.stock.release(&[(saga, Arc::from(STEP))]).await, Ok(vec![true]));
        assert_eq!((shop.level(sku).await, shop.believed(sku).await), ((5, 0), Some(5)));
    }
    // After a load that counted it already, it is not put back once more.
    shop.put(sku, 6).await;
    assert_eq!(shop.stock.release(&[(saga, Arc::from(STEP))]).await, Ok(vec![true]));
    assert_eq!(shop.believed(sku).await, Some(6));
}

#[tokio::test]
async fn units_of_an_earlier_generation_and_those_taken_again_are_put_back_each_once() {
    let mut shop = Tampered::new(None).await;
    let sku = Uuid::new_v4();
    for late_worker_enters_them in [false, true] {
        let saga = new_saga();
        shop.put(sku, 5).await;
        assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::Yes);
        shop.put(sku, 5).await;
        assert_eq!(shop.believed(sku).await, Some(3));
        // A worker that has not heard of it sets them apart once more.
        if late_worker_enters_them {
            assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::Yes);
            assert_eq!(shop.believed(sku).await, Some(3), "it found them on record and gave its own back");
        } else {
            admitted_and_not_entered(&shop, saga, sku, 2).await;
            assert_eq!(shop.believed(sku).await, Some(1));
        }
        for _ in 0..3 {
            assert!(shop.release(saga).await);
            assert_eq!((shop.level(sku).await, shop.believed(sku).await), ((5, 0), Some(5)));
        }
        assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::KeptOut);
        assert_eq!(shop.believed(sku).await, Some(5));
    }
}

#[tokio::test]
async fn a_redis_that_forgets_while_it_is_loaded_is_loaded_once_more() {
    let mut shop = Tampered::new(None).await;
    let (sku, saga) = (Uuid::new_v4(), new_saga());
    shop.put(sku, 5).await;
    assert_eq!(shop.reserve(saga, sku, 2).await, Reserved::Yes);
    let (mut redis, name) = (shop.redis.clone(), shop.name.clone());
    let forgets = move || -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let all = keys(&mut redis, &name).await;
            redis::cmd("DEL").arg(Vec::from_iter(all)).query_async(&mut redis).await.unwrap()
        })
    };
    let loads = shop.loading(sku, Then::Run(Box::new(forgets))).await;
    loads.set(&change(sku, 5)).await.unwrap();
    // The first unit that is put back must not be the only one that there is.
    assert!(shop.release(saga).await);
    assert_eq!(shop.reserve(new_saga(), sku, 5).await, Reserved::Yes);
    assert_eq!(shop.believed(sku).await, Some(0));
}

#[tokio::test]
async fn a_load_that_was_given_up_shares_its_number_with_none() {
    let mut shop = Tampered::new(None).await;
    let sku = Uuid::new_v4();
    shop.put(sku, 5).await;
    // The clock of the worker that loaded last is far ahead.
    let ahead = "UPDATE stock_generation SET generation = 9000000000000000";
    shop.connection.execute_unprepared(ahead).await.unwrap();
    let before = shop.keys().await;
    let gives_up = shop.loading(sku, Then::Cut).await;
    assert!(gives_up.ready().await.is_err());
    let given_up: Vec<String> = shop.keys().await.difference(&before).cloned().collect();
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    assert_eq!(stock(&shop.connection, &shop.name, None).ready().await, Ok(()));
    assert_eq!(shop.believed(sku).await, Some(5));
    let shelf = shop.shelf().await;
    assert_ne!(shelf, given_up[0]);
    // What was given up does not stay for ever, and what counts does.
    for (key, stays) in [(&given_up[0], false), (&shelf, true)] {
        let lives: i64 = redis::cmd("TTL").arg(key).query_async(&mut shop.redis).await.unwrap();
        assert_eq!(lives == -1, stays, "{lives} s");
    }
}

#[tokio::test]
async fn the_default_is_for_products_that_nobody_asked_for_before() {
    let mut shop = Tampered::new(Some(10)).await;
    let (set, new) = (Uuid::new_v4(), Uuid::new_v4());
    shop.put(set, 1).await;
    let key = EffectKey { saga: new_saga(), step: Arc::from(STEP), round: 1 };
    let lines = [Line { sku: set, quantity: 1 }, Line { sku: new, quantity: 4 }];
    let want = Want { key, lines: lines.into(), repeated: false };
    assert_eq!(shop.stock.reserve(&[want]).await, Ok(vec![Reserved::Yes]));
    assert_eq!((shop.level(set).await, shop.level(new).await), ((0, 1), (6, 4)));
    assert_eq!(shop.believed(new).await, Some(6));
    // Another worker, and a Redis that has forgotten it, find what is left and not another default.
    let shelf = shop.shelf().await;
    let marker = format!("{{{}}}:generation", shop.name);
    let () = redis::cmd("DEL").arg(shelf).arg(marker).query_async(&mut shop.redis).await.unwrap();
    let other = stock(&shop.connection, &shop.name, Some(10));
    let line = Line { sku: new, quantity: 7 };
    assert_eq!(reserve(&other, new_saga(), new, 7).await, Ok(Reserved::Short { line, available: 6 }));
}

#[tokio::test]
async fn a_redis_that_is_away_is_nothing_wrong_with_the_order() {
    let connection = database::postgres().await;
    let db = Db::new(connection).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let stock = RedisStock::new(db, &url, "test", Duration::from_secs(1), Some(10)).unwrap();
    let trouble = reserve(&stock, new_saga(), Uuid::new_v4(), 1).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Away { part: Part::Redis, .. }), "{trouble}");
    assert!(stock.ready().await.is_err());
}
