//! Orders on the whole system: each payment method ends as it is meant to, with its events, its history, its
//! books.

mod support;

use serde_json::json;
use support::{Client, Event, Json, Stack, TopicReader};

const USER: &str = "11111111-1111-1111-1111-111111111111";
const EVENT_TOPICS: [&str; 9] = [
    "order.created",
    "inventory.reserved",
    "inventory.rejected",
    "inventory.released",
    "payment.success",
    "payment.failed",
    "payment.refunded",
    "order.confirmed",
    "order.cancelled",
];

struct Shop {
    stack: Stack,
    orders: Client,
    workers: Client,
    topics: TopicReader,
}

/// How an order has to end.
struct Expected {
    method: &'static str,
    saga: &'static str,
    order: &'static str,
    reason: Option<&'static str>,
    /// Types of the history rows, in the shorthand of [`short`].
    history: &'static str,
    events: &'static [&'static str],
    /// Captures and refunds.
    money: (usize, usize),
    /// Reserved and sold of the product, of which two were asked for.
    stock: (i64, i64),
}

impl Shop {
    async fn open() -> Self {
        let stack = Stack::start(&[]).await;
        let (orders, workers) = (stack.client("serve"), stack.client("workers"));
        let topics = stack.topics(&EVENT_TOPICS);
        Self { stack, orders, workers, topics }
    }

    /// Places an order for two units of a product of its own.
    async fn place(&self, method: Option<&str>) -> (String, String) {
        let sku = uuid::Uuid::new_v4().to_string();
        let mut body = json!({"userId": USER, "amount": 499.99, "items": {&sku: 2}});
        if let Some(method) = method {
            body["paymentMethod"] = json!(method);
        }
        let order = self.orders.order(&body).await;
        (order["id"].as_str().unwrap().to_owned(), sku)
    }

    async fn stock(&self, sku: &str) -> Json {
        self.workers.get(&format!("/inventory/{sku}")).await.body
    }

    async fn check(&mut self, expected: &Expected) {
        let (id, sku) = self.place(Some(expected.method)).await;
        let saga = self.orders.at_rest(&id).await;
        let method = expected.method;
        assert_eq!(saga["status"], expected.saga, "{method}: {saga:#}");
        assert_eq!(history(&self.orders, &id).await, expected.history, "{method}");
        if expected.saga == "STUCK" {
            return;
        }
        self.check_books(&id, &sku, expected).await;
    }

    async fn check_books(&mut self, id: &str, sku: &str, expected: &Expected) {
        let method = expected.method;
        let order = self.orders.get(&format!("/orders/{id}")).await.body;
        assert_eq!(order["status"], expected.order, "{method}");
        assert_eq!(order["failureReason"]["code"].as_str(), expected.reason, "{method}");
        let entries = self.workers.get(&format!("/payments?orderId={id}")).await.body["entries"].clone();
        let count = |kind| entries.as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).count();
        assert_eq!((count("CAPTURE"), count("REFUND")), expected.money, "{method}: {entries}");
        let notices = self.workers.get(&format!("/notifications?orderId={id}")).await.body["entries"].clone();
        assert_eq!(notices.as_array().unwrap().len(), 1, "{method}: {notices}");
        assert_eq!(notices[0]["outcome"], expected.order, "{method}");
        let events = self.topics.events_of(id, expected.events);
        let topics: Vec<&str> = events.iter().map(|event| event.topic.as_str()).collect();
        assert_eq!(topics, expected.events, "{method}");
        events.iter().for_each(|event| check_event(event, id, sku));
        self.stock_becomes(sku, expected.stock).await;
    }

    /// Waits until the shelf shows so many reserved and sold: `order.confirmed` takes its way.
    async fn stock_becomes(&self, sku: &str, (reserved, sold): (i64, i64)) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(30));
        loop {
            pace.tick().await;
            let stock = self.stock(sku).await;
            let number = |name: &str| stock[name].as_i64().unwrap();
            assert_eq!(number("onHand"), number("available") + number("reserved") + number("sold"), "{stock}");
            if (number("reserved"), number("sold")) == (reserved, sold) {
                return;
            }
            assert!(std::time::Instant::now() < until, "reserved and sold never became {reserved} and {sold}: {stock}");
        }
    }
}

fn check_event(event: &Event, id: &str, sku: &str) {
    assert_eq!(event.value["orderId"], id);
    assert_eq!(event.value["userId"], USER);
    assert!(String::from_utf8_lossy(&event.raw).contains("\"totalAmount\":499.99,"), "{:?}", event.value);
    assert_eq!(event.value["items"], json!({sku: 2}));
    let header = |name: &str| event.headers[name].as_str();
    assert_eq!(header("ce_type"), event.topic);
    assert_eq!(header("ce_source"), "/saga");
    assert_eq!(header("ce_subject"), id);
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("ce_id"), format!("{id}/{}/{}", header("ce_sequence"), event.topic));
    assert_eq!(header("traceparent").len(), 55);
    let unhappy = ["inventory.rejected", "payment.failed", "inventory.released", "payment.refunded", "order.cancelled"];
    assert_eq!(event.value.get("reason").is_some(), unhappy.contains(&event.topic.as_str()), "{}", event.topic);
}

/// The history in short: SS StepSucceeded, SR StepRejected, AF AttemptFailed, …
async fn history(client: &Client, id: &str) -> String {
    let events = client.history(id).await;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1);
    }
    events.iter().map(|event| short(event["type"].as_str().unwrap())).collect::<Vec<_>>().join(" ")
}

fn short(kind: &str) -> String {
    match kind {
        "SagaStarted" => "start".to_owned(),
        other => other.chars().filter(char::is_ascii_uppercase).collect(),
    }
}

#[tokio::test]
async fn every_payment_method_ends_as_promised() {
    let mut shop = Shop::open().await;
    const HAPPY: [&str; 4] = ["order.created", "inventory.reserved", "payment.success", "order.confirmed"];
    const DECLINED: [&str; 5] =
        ["order.created", "inventory.reserved", "payment.failed", "inventory.released", "order.cancelled"];
    const UNANSWERED: [&str; 6] = [
        "order.created",
        "inventory.reserved",
        "payment.failed",
        "payment.refunded",
        "inventory.released",
        "order.cancelled",
    ];
    let confirmed = |method, history| Expected {
        method,
        saga: "COMPLETED",
        order: "CONFIRMED",
        reason: None,
        history,
        events: &HAPPY,
        money: (1, 0),
        stock: (0, 2),
    };
    shop.check(&confirmed("pm_approve", "start SS SS SS")).await;
    shop.check(&confirmed("pm_flaky", "start SS AF AS AF AS SS SS")).await;
    shop.check(&confirmed("pm_timeout", "start SS AF AS SS SS")).await;
    shop.check(&Expected {
        method: "pm_decline",
        saga: "COMPENSATED",
        order: "CANCELLED",
        reason: Some("PAYMENT_DECLINED"),
        history: "start SS SR CS SS",
        events: &DECLINED,
        money: (0, 0),
        stock: (0, 0),
    })
    .await;
    shop.check(&Expected {
        method: "pm_hang",
        saga: "COMPENSATED",
        order: "CANCELLED",
        reason: Some("STEP_TIMEOUT"),
        history: "start SS AF AS AF AS AF AS AF AS SU CS CS SS",
        events: &UNANSWERED,
        money: (1, 1),
        stock: (0, 0),
    })
    .await;
    let processes = &shop.stack.processes;
    for line in ["Inventory reserved", "Payment success", "Payment failed", "Notification sent"] {
        processes["workers"].wait_for(&[line]);
    }
}

#[tokio::test]
async fn a_refund_that_fails_is_stuck_until_an_operator_replays_it() {
    let mut shop = Shop::open().await;
    let (id, sku) = shop.place(Some("pm_refund_fails")).await;
    let saga = shop.orders.at_rest(&id).await;
    assert_eq!(saga["status"], "STUCK");
    assert_eq!(saga["stuck"]["cause"], "UNDO_FAILED");
    assert_eq!(saga["stuck"]["step"], "charge-payment");
    assert_eq!(saga["waitingFor"]["kind"], "operator");
    assert_eq!(history(&shop.orders, &id).await.matches("CAF").count(), 9);
    let refused = shop.orders.post(&format!("/admin/sagas/{id}/replay"), &json!({"reason": "it works again"})).await;
    assert_eq!(refused.status, 401);
    let admin = shop.stack.admin("serve");
    let replayed = admin.post(&format!("/admin/sagas/{id}/replay"), &json!({"reason": "it works again"})).await;
    assert_eq!(replayed.status, 200, "{:?}", replayed.body);
    let saga = shop.orders.until(&id, |saga| saga["status"] == "COMPENSATED").await;
    assert_eq!(saga["failure"]["code"], "STEP_TIMEOUT");
    let expected = Expected {
        method: "pm_refund_fails",
        saga: "COMPENSATED",
        order: "CANCELLED",
        reason: Some("STEP_TIMEOUT"),
        history: "",
        events: &[
            "order.created",
            "inventory.reserved",
            "payment.failed",
            "payment.refunded",
            "inventory.released",
            "order.cancelled",
        ],
        money: (1, 1),
        stock: (0, 0),
    };
    shop.check_books(&id, &sku, &expected).await;
}

#[tokio::test]
async fn short_of_stock_is_cancelled_with_nothing_to_undo() {
    let mut shop = Shop::open().await;
    let sku = uuid::Uuid::new_v4().to_string();
    let body = json!({"userId": USER, "amount": "499.99", "items": {&sku: 101}});
    let id = shop.orders.order(&body).await["id"].as_str().unwrap().to_owned();
    let saga = shop.orders.at_rest(&id).await;
    assert_eq!(saga["status"], "COMPENSATED");
    assert_eq!(history(&shop.orders, &id).await, "start SR SS");
    let expected = ["order.created", "inventory.rejected", "order.cancelled"];
    let events = shop.topics.events_of(&id, &expected);
    let topics: Vec<&str> = events.iter().map(|event| event.topic.as_str()).collect();
    assert_eq!(topics, expected);
    let order = shop.orders.get(&format!("/orders/{id}")).await.body;
    assert_eq!(order["failureReason"]["code"], "INSUFFICIENT_STOCK");
    shop.stock_becomes(&sku, (0, 0)).await;
}

/// From now on a broker is found at `from`: it tells its own address to whoever reaches it there.
async fn way(from: String, to: String) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    })
}

/// Kafka was never there when `serve` started: orders are taken all the same, and go on once it comes.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_by_an_instance_that_has_never_seen_kafka() {
    let mut stack = Stack::prepare(&[]).await;
    let (real, away) = (stack.env["KAFKA_BROKERS"].clone(), support::free_address());
    stack.serve("serve", &[("KAFKA_BROKERS", &away)]);
    let client = stack.client("serve");
    let degraded = client.ready_as("degraded").await;
    assert_eq!(degraded["dependencies"]["kafka"]["status"], "down", "{degraded}");
    let body = json!({"userId": USER, "amount": 5, "items": {uuid::Uuid::new_v4().to_string(): 1}});
    let order = client.order(&body).await;
    let id = order["id"].as_str().unwrap();
    let saga = client.get(&format!("/sagas/{id}")).await.body;
    assert_eq!((&saga["status"], &saga["stuck"]), (&json!("RUNNING"), &Json::Null), "{saga}");

    let way = way(away, real).await;
    stack.worker("workers", &["inventory", "payment", "notification"], &[]);
    assert_eq!(client.at_rest(id).await["status"], "COMPLETED");
    client.ready_as("ready").await;
    way.abort();
}

/// What it lacks is told as soon as it is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_ends_when_kafka_comes_and_does_not_fit() {
    let mut stack = Stack::prepare(&[]).await;
    let (real, away) = (stack.env["KAFKA_BROKERS"].clone(), support::free_address());
    let mut sql = stack.sql().await;
    sqlx::query("DELETE FROM shard WHERE id >= 2").execute(&mut sql).await.unwrap();
    stack.serve("serve", &[("KAFKA_BROKERS", &away)]);
    stack.client("serve").ready_as("degraded").await;
    let way = way(away, real).await;
    let process = stack.process("serve");
    let code = tokio::task::block_in_place(|| process.wait());
    let output = process.output();
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("partitions") && output.contains("2 shards"), "{output}");
    way.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_again_as_they_were() {
    let shop = Shop::open().await;
    let (id, _) = shop.place(Some("pm_approve")).await;
    shop.orders.at_rest(&id).await;
    let (other, _) = shop.place(Some("pm_decline")).await;
    shop.orders.at_rest(&other).await;
    let run = |args: &[&str]| {
        let mut process = shop.stack.run("saga", args);
        (process.wait(), process.output())
    };
    let (code, said) = run(&["republish", "--since", "1h", "--topic", "order.confirmed", "--dry-run"]);
    assert!(code == 0 && said.contains("1 events would be sent."), "{said}");
    let (code, said) = run(&["republish", &id]);
    assert!(code == 0 && said.contains("4 events were sent."), "{said}");
    let (code, said) = run(&["republish", "--since", "1h", "--topic", "order.cancelled"]);
    assert!(code == 0 && said.contains("1 events were sent."), "{said}");
    let nobody = uuid::Uuid::now_v7().to_string();
    let (code, said) = run(&["republish", &id, &nobody]);
    assert!(code == 1 && said.contains(&nobody) && said.contains("0 events were sent"), "{said}");

    let mut topics = shop.stack.topics(&EVENT_TOPICS);
    let all = topics.until(|seen| {
        let of = |saga: &str| seen.iter().filter(|event| event.key == saga).count();
        of(&id) >= 8 && seen.iter().filter(|event| event.topic == "order.cancelled").count() >= 2
    });
    let of = |saga: &str, topic: &str| -> Vec<Event> {
        all.iter().filter(|event| event.key == saga && event.topic == topic).cloned().collect()
    };
    for topic in ["order.created", "inventory.reserved", "payment.success", "order.confirmed"] {
        let [first, again] = &of(&id, topic)[..] else { panic!("{topic}: {all:#?}") };
        assert_eq!((&first.raw, &first.headers), (&again.raw, &again.headers));
        assert_eq!(first.partition, again.partition);
    }
    assert_eq!((of(&other, "order.cancelled").len(), of(&other, "order.created").len()), (2, 1));
}
