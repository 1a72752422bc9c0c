//! All three workers in one process, on one SQLite connection and a bus in memory, as `saga dev` runs them; and what
//! they can be asked over HTTP.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::commands::{Ask, delivery, new_saga, payload, replies, short};
use common::database;
use saga_model::SagaId;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Value, json};
use service::http::{edge, serve};
use service::keys::{ApiKeys, KeyList, guard, is_keyless};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use service::telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use workers::http::audit;
use workers::local::{LocalWorkers, Surrounds};
use workers::settings::ShopArgs;
use workers::sql::Db;
use workers::transport::{Position, local::OnDone};

/// The workers, and a client that talks to them.
struct Town {
    workers: LocalWorkers,
    done: mpsc::UnboundedReceiver<Position>,
    connection: DatabaseConnection,
    url: String,
    client: reqwest::Client,
    stop: Shutdown,
}

impl Town {
    async fn new() -> Self {
        let connection = database::sqlite().await;
        let (says_done, done) = mpsc::unbounded_channel();
        let stop = Shutdown::new();
        let on_done: OnDone = Arc::new(move |position| says_done.send(position).unwrap());
        let workers = LocalWorkers::start(Surrounds {
            connection: connection.clone(),
            settings: ShopArgs::default().for_dev(),
            step_timeout: Duration::from_secs(3),
            metrics: &Metrics::new(),
            telemetry: &Telemetry::to(None),
            on_done,
            stop: stop.draining().clone(),
        })
        .await
        .unwrap();
        let keys = "ops:secret:admin,reader:other:read".parse::<KeyList>().unwrap();
        let keys = Arc::new(ApiKeys::new(keys, "submit,read".parse().unwrap()));
        let db = Db::new(connection.clone()).unwrap();
        let routes = guard(workers.routes.clone(), Arc::clone(&keys), is_keyless);
        let routes = edge(audit(routes, db, keys, |_| true), Metrics::new().http());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, routes, stop.clone(), Duration::from_secs(1)));
        Self { workers, done, connection, url, client: reqwest::Client::new(), stop }
    }

    /// Hands a command over and waits for the reply.
    async fn ask(&mut self, topic: &'static str, ask: &Ask) -> String {
        self.workers.inputs[topic].send(ask.delivery()).unwrap();
        let answers = self.workers.answers.recv().await.unwrap();
        short(&replies(&answers)[0])
    }

    /// Says that an order is confirmed, and waits until that is durable.
    async fn confirm(&mut self, saga: SagaId) {
        let event = delivery("order.confirmed", Some(saga), json!({"orderId": saga}).to_string().into_bytes());
        let offset = event.offset;
        self.workers.inputs["order.confirmed"].send(event).unwrap();
        while self.done.recv().await.unwrap().next != offset + 1 {}
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn put(&self, path: &str, key: Option<&str>, body: &str) -> (u16, Value) {
        let mut request = self.client.put(format!("{}{path}", self.url)).body(body.to_owned());
        request = request.header("content-type", "application/json");
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn level(&self, sku: Uuid) -> [i64; 4] {
        let (status, level) = self.get(&format!("/inventory/{sku}")).await;
        assert_eq!(status, 200, "{level}");
        assert_eq!(level["sku"], json!(sku));
        ["onHand", "available", "reserved", "sold"].map(|name| level[name].as_i64().unwrap())
    }

    /// The audit records, oldest first: action, actor, reason, status and code.
    async fn audit(&self) -> Vec<[Option<String>; 5]> {
        let sql = "SELECT action, actor, reason, status, code FROM admin_request ORDER BY at, id";
        let query = Statement::from_string(self.connection.get_database_backend(), sql);
        let rows = self.connection.query_all_raw(query).await.unwrap();
        let columns = ["action", "actor", "reason", "status", "code"];
        rows.iter().map(|row| columns.map(|column| row.try_get("", column).unwrap())).collect()
    }
}

fn reserve(saga: SagaId, sku: Uuid, quantity: u32) -> Ask {
    Ask::action(saga, "reserve-inventory", payload(saga, &[(sku, quantity)], None))
}

#[tokio::test]
async fn a_happy_order_and_one_that_is_undone() {
    let mut town = Town::new().await;
    let (sku, happy, undone) = (Uuid::new_v4(), new_saga(), new_saga());
    let approve = |saga| Ask::action(saga, "charge-payment", payload(saga, &[], Some("pm_approve")));
    for saga in [happy, undone] {
        assert_eq!(town.ask("inventory.commands", &reserve(saga, sku, 2)).await, "SUCCEEDED");
        assert_eq!(town.ask("payment.commands", &approve(saga)).await, "SUCCEEDED");
    }
    assert_eq!(town.level(sku).await, [100, 96, 4, 0]);
    town.confirm(happy).await;
    town.confirm(undone).await;
    assert_eq!(town.level(sku).await, [100, 96, 0, 4]);
    let told = Ask::action(happy, "notify-customer", payload(happy, &[], None));
    assert_eq!(town.ask("notification.commands", &told).await, "SUCCEEDED");
    assert_eq!(town.ask("payment.commands", &approve(undone).undo()).await, "SUCCEEDED undone");
    assert_eq!(town.ask("inventory.commands", &reserve(undone, sku, 2).undo()).await, "SUCCEEDED undone");
    town.confirm(undone).await;
    assert_eq!(town.level(sku).await, [100, 98, 0, 2]);

    let (status, payments) = town.get(&format!("/payments?orderId={undone}")).await;
    let entries = payments["entries"].as_array().unwrap();
    assert_eq!((status, entries.len()), (200, 2));
    for (entry, kind) in entries.iter().zip(["CAPTURE", "REFUND"]) {
        assert_eq!((&entry["kind"], &entry["currency"]), (&json!(kind), &json!("USD")));
        assert_eq!((&entry["orderId"], entry["amount"].to_string().as_str()), (&json!(undone), "499.99"));
        assert!(entry["at"].as_str().unwrap().ends_with('Z'));
    }
    let (status, told) = town.get(&format!("/notifications?orderId={happy}")).await;
    assert_eq!((status, &told["entries"][0]["outcome"]), (200, &json!("CONFIRMED")));
    assert_eq!(told["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn stock_is_set_and_every_call_is_recorded() {
    let mut town = Town::new().await;
    let sku = Uuid::new_v4();
    let path = format!("/admin/inventory/{sku}");
    let body = |on_hand: i64| json!({"onHand": on_hand, "reason": "counted"}).to_string();
    assert_eq!(town.get(&format!("/inventory/{sku}")).await.0, 404);
    let (status, level) = town.put(&path, Some("secret"), &body(7)).await;
    let expected = json!({"sku": sku, "onHand": 7, "available": 7, "reserved": 0, "sold": 0});
    assert_eq!((status, level), (200, expected));
    assert_eq!(town.ask("inventory.commands", &reserve(new_saga(), sku, 5)).await, "SUCCEEDED");
    let code = async |path: &str, key, body: &str| {
        let (status, problem) = town.put(path, key, body).await;
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(&path, Some("secret"), &body(4)).await, is(409, "STOCK_COMMITTED"));
    assert_eq!(code(&path, None, &body(9)).await, is(401, "UNAUTHENTICATED"));
    assert_eq!(code(&path, Some("wrong"), &body(9)).await, is(401, "UNAUTHENTICATED"));
    assert_eq!(code(&path, Some("other"), &body(9)).await, is(403, "FORBIDDEN"));
    assert_eq!(code(&path, Some("secret"), r#"{"onHand": 9}"#).await, is(422, "VALIDATION_FAILED"));
    assert_eq!(code(&path, Some("secret"), "{").await, is(400, "MALFORMED_JSON"));
    assert_eq!(code("/admin/inventory/x", Some("secret"), &body(9)).await, is(400, "INVALID_PARAMETER"));
    assert_eq!(code("/admin/nothing", Some("secret"), &body(9)).await, is(404, "NOT_FOUND"));
    let large = json!({"onHand": 9, "reason": "x".repeat(70_000)}).to_string();
    assert_eq!(code(&path, Some("secret"), &large).await, is(413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(town.level(sku).await, [7, 2, 5, 0]);
    let (ops, reader) = (Some("key:ops"), Some("key:reader"));
    let refused =
        |action: &'static str, actor, reason, code| [Some(action), actor, reason, Some("REFUSED"), Some(code)];
    let counted = Some("counted");
    let expected = [
        [Some("set-stock"), ops, counted, Some("DONE"), None],
        refused("set-stock", ops, counted, "STOCK_COMMITTED"),
        refused("set-stock", None, counted, "UNAUTHENTICATED"),
        refused("set-stock", None, counted, "UNAUTHENTICATED"),
        refused("set-stock", reader, counted, "FORBIDDEN"),
        refused("set-stock", ops, None, "VALIDATION_FAILED"),
        refused("set-stock", ops, None, "MALFORMED_JSON"),
        refused("set-stock", ops, counted, "INVALID_PARAMETER"),
        refused("unknown", ops, counted, "NOT_FOUND"),
        refused("set-stock", ops, None, "PAYLOAD_TOO_LARGE"),
    ];
    let expected: Vec<_> = expected.into_iter().map(|row| row.map(|text| text.map(str::to_owned))).collect();
    assert_eq!(town.audit().await, expected);
}

#[tokio::test]
async fn pages_of_stock() {
    let town = Town::new().await;
    let mut skus: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
    for sku in &skus {
        let body = json!({"onHand": 1, "reason": "x"}).to_string();
        assert_eq!(town.put(&format!("/admin/inventory/{sku}"), Some("secret"), &body).await.0, 200);
    }
    skus.sort();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = town.get(&format!("/inventory?limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, skus.iter().map(Uuid::to_string).collect::<Vec<_>>());
    for bad in [
        "/inventory?limit=0",
        "/inventory?limit=201",
        "/inventory?cursor=x",
        "/inventory?x=1",
        "/inventory/x",
        "/payments",
        "/payments?orderId=x",
        "/notifications?orderId=",
    ] {
        let (status, problem) = town.get(bad).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_PARAMETER")), "{bad}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_on_once_and_marked() {
    let mut town = Town::new().await;
    let bad = delivery("payment.commands", None, b"{".to_vec());
    let sale = delivery("order.confirmed", None, b"{\"orderId\": 5}".to_vec());
    for (topic, message) in [("payment.commands", &bad), ("order.confirmed", &sale)] {
        for _ in 0..2 {
            town.workers.inputs[topic].send(message.clone()).unwrap();
            let letters = town.workers.answers.recv().await.unwrap();
            assert_eq!((letters.len(), letters[0].topic), (1, "saga.dead-letters"));
            assert_eq!(town.done.recv().await.unwrap().next, message.offset + 1);
        }
    }
    let sql = "SELECT topic, code, status FROM dead_letter ORDER BY topic";
    let query = Statement::from_string(town.connection.get_database_backend(), sql);
    let rows = town.connection.query_all_raw(query).await.unwrap();
    let row = |row: &sea_orm::QueryResult| ["topic", "code", "status"].map(|name| row.try_get("", name).unwrap());
    let rows: Vec<[String; 3]> = rows.iter().map(row).collect();
    assert_eq!(rows, [["order.confirmed", "WRONG_TYPE", "NEW"], ["payment.commands", "NOT_JSON", "NEW"]]);
}

#[tokio::test]
async fn they_end_when_they_are_told() {
    let town = Town::new().await;
    town.stop.at_once();
    town.workers.ended().await;
}
