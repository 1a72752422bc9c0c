//! The workers on real Kafka, Postgres and Redis.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::cluster::{PATIENCE, Town};
use common::commands::{Ask, new_saga, payload, short};
use common::database;
use saga_model::SagaId;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::json;
use service::metrics::Metrics;
use service::telemetry::Tracer;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::dead_letter::SqlDeadLetters;
use workers::ledger::sql::SqlLedger;
use workers::patience::{Absences, Patience, Stopping};
use workers::runtime::{Handler, Limits, Surroundings, serve};
use workers::shop::gateway::simulated::SuccessRate;
use workers::shop::staff::{Staff, WorkerName};
use workers::shop::stock::RedisStock;
use workers::sql::Db;
use workers::transport::kafka::{KafkaSink, KafkaSource};
use workers::transport::{Delivery, Sent};

/// All three workers, as one process runs them.
struct Crew {
    staff: Staff,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Crew {
    async fn new(town: &Town, connection: &DatabaseConnection) -> Self {
        let db = Db::new(connection.clone()).unwrap();
        let redis = database::setting("REDIS_URL");
        let stock = RedisStock::new(db.clone(), &redis, &town.prefix, Duration::from_secs(3), Some(100)).unwrap();
        let (stop, metrics) = (CancellationToken::new(), Metrics::new());
        let staff = Staff {
            ledger: Arc::new(SqlLedger::new(db.clone())),
            stock: Arc::new(stock),
            success_rate: SuccessRate::ALL,
            around: Surroundings {
                dead_letters: Arc::new(SqlDeadLetters(db.clone())),
                sink: Arc::new(KafkaSink::new(town.cluster.clone()).unwrap()),
                patience: Patience::new(Absences::default(), stop.clone()),
                letters_total: metrics.dead_letters(),
            },
            metrics,
            limits: Limits::for_effects_of(Duration::from_secs(10)),
            db,
        };
        let mut crew = Self { staff, stop, tasks: Vec::new() };
        for name in WorkerName::ALL {
            for subscription in name.subscriptions() {
                let source = KafkaSource::join(&town.cluster, subscription.topic, subscription.group).unwrap();
                let mut joined = source.joined();
                let handler = crew.staff.handler(name, *subscription, Tracer::OFF);
                crew.tasks.push(tokio::spawn(serve(source, handler, crew.stop.clone())));
                joined.wait_for(|joined| *joined).await.unwrap();
            }
        }
        crew
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn count(connection: &DatabaseConnection, sql: &str) -> i64 {
    let query = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn orders_go_through() {
    let (town, connection) = (Town::new().await, database::postgres().await);
    let crew = Crew::new(&town, &connection).await;
    let mut replies = town.reader("saga.replies");
    let (saga, sku) = (new_saga(), Uuid::new_v4());
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let order = payload(saga, &[(sku, 2)], Some("pm_approve"));
    for (topic, step) in [
        ("inventory.commands", "reserve-inventory"),
        ("payment.commands", "charge-payment"),
        ("notification.commands", "notify-customer"),
    ] {
        let asked = Ask::action(saga, step, order.clone());
        let value = asked.value().to_string().into_bytes();
        town.send(topic, Some(&saga.to_string()), &value, &[("traceparent", trace.as_bytes())]).await;
        let read = replies.next().await;
        let reply = read.reply();
        assert_eq!((reply.saga_id, reply.step.as_str(), short(&reply).as_str()), (saga, step, "SUCCEEDED"));
        assert_eq!(read.key, Some(saga.to_string().into_bytes()));
        assert_eq!(read.partition, i32::from(saga.slot().get()) % 4, "where every Kafka client puts that key");
        let now = read.header("ce_time").unwrap();
        assert!(now.ends_with('Z') && now.len() == 27, "{now}");
        for (header, value) in [
            ("ce_id", format!("{saga}/{step}/ACTION/1/1")),
            ("ce_type", "saga.replies".to_owned()),
            ("ce_source", "/saga".to_owned()),
            ("ce_specversion", "1.0".to_owned()),
            ("ce_subject", saga.to_string()),
            ("content-type", "application/json".to_owned()),
            ("traceparent", trace.to_owned()),
        ] {
            assert_eq!(read.header(header), Some(value), "{header}");
        }
    }
    town.confirm(saga).await;
    town.wait_committed("worker-inventory-sales", "order.confirmed", 1).await;
    let level = crew.staff.stock.level(sku).await.unwrap().unwrap();
    assert_eq!((level.on_hand, level.reserved, level.sold), (100, 0, 2));
    for (group, topic) in [
        ("worker-inventory", "inventory.commands"),
        ("worker-payment", "payment.commands"),
        ("worker-notification", "notification.commands"),
    ] {
        town.wait_committed(group, topic, 1).await;
    }
    crew.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter() {
    let (town, connection) = (Town::new().await, database::postgres().await);
    let crew = Crew::new(&town, &connection).await;
    let mut letters = town.reader("saga.dead-letters");
    let headers: [(&str, &[u8]); 2] = [("x", &[0xff, 0]), ("traceparent", b"nonsense")];
    town.send("payment.commands", Some("a key"), b"{\"sagaId\": 5}", &headers).await;
    let letter = letters.next().await;
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"a key"[..]), Some(&b"{\"sagaId\": 5}"[..])));
    assert_eq!(letter.headers.iter().next(), Some(("x", &[0xff, 0][..])));
    assert_eq!(letter.header("dl_topic").as_deref(), Some("payment.commands"));
    assert_eq!(letter.header("dl_code").as_deref(), Some("WRONG_TYPE"));
    assert_eq!(letter.header("dl_offset").as_deref(), Some("0"));
    assert!(letter.header("dl_partition").is_some() && letter.header("dl_at").is_some());
    assert!(letter.header("dl_detail").unwrap().contains("sagaId"));

    // Whatever the message, its partition goes on: here every message of every kind is on one partition.
    let saga = new_saga();
    let key = saga.to_string();
    let large = format!("{{\"x\": \"{}\"}}", "x".repeat(900_000));
    town.send("payment.commands", Some(&key), b"", &[]).await;
    town.send("payment.commands", Some(&key), large.as_bytes(), &[]).await;
    town.send("payment.commands", Some(&key), &[0xff; 50], &[]).await;
    let mut replies = town.reader("saga.replies");
    town.ask("payment.commands", &Ask::action(saga, "charge-payment", payload(saga, &[], Some("pm_approve")))).await;
    assert_eq!(short(&replies.replies(1).await[0]), "SUCCEEDED");
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(letters.next().await.header("dl_code").unwrap());
    }
    assert_eq!(codes, ["NOT_JSON", "TOO_LARGE", "NOT_JSON"]);
    assert_eq!(count(&connection, "SELECT count(*) FROM dead_letter WHERE status = 'NEW'").await, 4);
    let of_saga = format!("SELECT count(*) FROM dead_letter WHERE saga_id = '{saga}'");
    assert_eq!(count(&connection, &of_saga).await, 3, "the key says whose they may be");
    crew.stop().await;
}

#[tokio::test]
async fn two_crews_share_the_work_and_one_takes_over_from_the_other() {
    let (town, connection) = (Town::new().await, database::postgres().await);
    let (one, two) = (Crew::new(&town, &connection).await, Crew::new(&town, &connection).await);
    let sku = Uuid::new_v4();
    let sagas: Vec<SagaId> = (0..300).map(|_| new_saga()).collect();
    let asks: Vec<Ask> =
        sagas.iter().map(|saga| Ask::action(*saga, "reserve-inventory", payload(*saga, &[(sku, 1)], None))).collect();
    let mut replies = town.reader("saga.replies");
    let mut answered: BTreeMap<SagaId, BTreeSet<String>> = BTreeMap::new();
    let mut one = Some(one);
    for (n, part) in asks.chunks(100).enumerate() {
        for ask in part {
            town.ask("inventory.commands", ask).await;
        }
        // In the middle of it one crew leaves, in good order.
        if n == 1 {
            one.take().unwrap().stop().await;
        }
    }
    while answered.len() < sagas.len() {
        let reply = replies.replies(1).await.remove(0);
        answered.entry(reply.saga_id).or_default().insert(short(&reply));
    }
    let outcome = |wanted: &str| answered.values().filter(|answers| answers.iter().eq([wanted])).count();
    assert_eq!(outcome("SUCCEEDED"), 100, "as many as there are");
    assert_eq!(outcome("REJECTED INSUFFICIENT_STOCK"), 200);
    let level = two.staff.stock.level(sku).await.unwrap().unwrap();
    assert_eq!((level.on_hand, level.reserved), (100, 100));
    town.wait_committed("worker-inventory", "inventory.commands", 300).await;
    two.stop().await;
}

/// A handler that works only as fast as its test lets it.
struct Slow {
    begun: Notify,
    allowed: Semaphore,
    handled: AtomicUsize,
}

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, batch: Vec<Delivery>) -> Result<Vec<Sent>, Stopping> {
        self.begun.notify_one();
        self.allowed.acquire().await.unwrap().forget();
        self.handled.fetch_add(batch.len(), Ordering::SeqCst);
        Ok(Vec::new())
    }
}

impl Slow {
    fn new() -> Arc<Self> {
        let (begun, handled) = (Notify::new(), AtomicUsize::new(0));
        Arc::new(Self { begun, allowed: Semaphore::new(0), handled })
    }
}

#[tokio::test]
async fn a_member_that_works_long_stays_and_commits_before_it_gives_partitions_up() {
    let town = Town::new().await;
    let (slow, other, stop) = (Slow::new(), Slow::new(), CancellationToken::new());
    other.allowed.add_permits(1_000);
    let join = || KafkaSource::join(&town.cluster, "payment.commands", "a-group").unwrap();
    let first = tokio::spawn(serve(join(), Arc::clone(&slow) as Arc<dyn Handler>, stop.clone()));
    for n in 0..40_i32 {
        town.send("payment.commands", Some(&n.to_string()), b"x", &[]).await;
    }
    slow.begun.notified().await;
    // A second member comes while the first has a batch in hand. It gets its share only when that is done and committed.
    let source = join();
    let mut joined = source.joined();
    let second = tokio::spawn(serve(source, Arc::clone(&other) as Arc<dyn Handler>, stop.clone()));
    joined.wait_for(|joined| *joined).await.unwrap();
    assert_eq!(slow.handled.load(Ordering::SeqCst), 0, "it has been at it all the time");
    slow.allowed.add_permits(1_000);
    town.wait_committed("a-group", "payment.commands", 40).await;
    let handled = || slow.handled.load(Ordering::SeqCst) + other.handled.load(Ordering::SeqCst);
    assert_eq!(handled(), 40, "nothing was done by both");
    // Both work from now on.
    for n in 0..400_i32 {
        town.send("payment.commands", Some(&n.to_string()), b"x", &[]).await;
    }
    town.wait_committed("a-group", "payment.commands", 440).await;
    assert_eq!(handled(), 440);
    assert!(other.handled.load(Ordering::SeqCst) > 0);
    stop.cancel();
    first.await.unwrap();
    second.await.unwrap();
}

/// The library keeps a partition paused that was paused when it went. It went unread for ever when it came back.
#[tokio::test]
async fn a_partition_that_was_taken_away_during_long_work_is_read_when_it_comes_back() {
    let town = Town::new().await;
    let (slow, other) = (Slow::new(), Slow::new());
    let (stop, stop_other) = (CancellationToken::new(), CancellationToken::new());
    other.allowed.add_permits(1_000);
    let join = || KafkaSource::join(&town.cluster, "payment.commands", "a-group").unwrap();
    let first = tokio::spawn(serve(join(), Arc::clone(&slow) as Arc<dyn Handler>, stop.clone()));
    for n in 0..40_i32 {
        town.send("payment.commands", Some(&n.to_string()), b"x", &[]).await;
    }
    slow.begun.notified().await;
    // The first one works for longer than anybody waits for it: partitions go while it is at it.
    let second = tokio::spawn(serve(join(), Arc::clone(&other) as Arc<dyn Handler>, stop_other.clone()));
    let handled = || slow.handled.load(Ordering::SeqCst) + other.handled.load(Ordering::SeqCst);
    tokio::time::timeout(PATIENCE, other.begun.notified()).await.expect("the second one gets some");
    slow.allowed.add_permits(1_000);
    town.wait_committed("a-group", "payment.commands", 40).await;
    stop_other.cancel();
    second.await.unwrap();
    let before = handled();
    for n in 0..40_i32 {
        town.send("payment.commands", Some(&n.to_string()), b"x", &[]).await;
    }
    town.wait_committed("a-group", "payment.commands", 80).await;
    assert_eq!(handled() - before, 40);
    stop.cancel();
    first.await.unwrap();
}

#[tokio::test]
async fn what_was_not_marked_comes_again() {
    let town = Town::new().await;
    let (slow, stop) = (Slow::new(), CancellationToken::new());
    let join = || KafkaSource::join(&town.cluster, "payment.commands", "a-group").unwrap();
    let task = tokio::spawn(serve(join(), Arc::clone(&slow) as Arc<dyn Handler>, stop.clone()));
    for n in 0..10_i32 {
        town.send("payment.commands", Some(&n.to_string()), b"x", &[]).await;
    }
    slow.begun.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(town.committed("a-group", "payment.commands").await, BTreeMap::new());
    let again = Slow::new();
    again.allowed.add_permits(1_000);
    let task = tokio::spawn(serve(join(), Arc::clone(&again) as Arc<dyn Handler>, stop.clone()));
    town.wait_committed("a-group", "payment.commands", 10).await;
    assert_eq!(again.handled.load(Ordering::SeqCst), 10);
    stop.cancel();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn more_members_than_partitions() {
    let town = Town::new().await;
    let mut members = Vec::new();
    for _ in 0..6 {
        let source = KafkaSource::join(&town.cluster, "payment.commands", "a-group").unwrap();
        let mut joined = source.joined();
        tokio::time::timeout(PATIENCE, joined.wait_for(|joined| *joined)).await.expect("it is let in").unwrap();
        members.push(source);
    }
    for member in members {
        workers::transport::Source::close(member).await;
    }
}

#[tokio::test]
async fn compensations_cross_rounds_over_kafka() {
    let (town, connection) = (Town::new().await, database::postgres().await);
    let crew = Crew::new(&town, &connection).await;
    let mut replies = town.reader("saga.replies");
    let saga = new_saga();
    let asked = Ask::action(saga, "charge-payment", payload(saga, &[], Some("pm_hang")));
    town.ask("payment.commands", &asked).await;
    let undo = Ask { payload: json!({"orderId": saga, "paymentMethod": "pm_hang"}), ..asked.undo() };
    town.ask("payment.commands", &undo).await;
    town.ask("payment.commands", &asked.attempt(2).round(2)).await;
    town.ask("payment.commands", &undo.attempt(2)).await;
    let answers: Vec<String> = replies.replies(2).await.iter().map(short).collect();
    assert_eq!(answers, ["SUCCEEDED undone", "SUCCEEDED undone"], "it never answers an action");
    let moved = format!("SELECT count(*) FROM payment_entry WHERE saga_id = '{saga}'");
    assert_eq!(count(&connection, &moved).await, 2);
    crew.stop().await;
}
