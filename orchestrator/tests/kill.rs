//! Kill anything: what was answered 200 ends as it should, and the books balance.

mod support;

use std::collections::BTreeMap;

use serde_json::json;
use support::{Client, Json, Stack};

const METHODS: [(&str, &str); 5] = [
    ("pm_approve", "CONFIRMED"),
    ("pm_decline", "CANCELLED"),
    ("pm_flaky", "CONFIRMED"),
    ("pm_timeout", "CONFIRMED"),
    ("pm_hang", "CANCELLED"),
];
const SKUS: [&str; 3] = [
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "cccccccc-cccc-cccc-cccc-cccccccccccc",
];

/// Places an order until it is answered 200: the same idempotency key each time.
async fn place(clients: &[Client], n: usize) -> (String, usize) {
    let body = json!({"userId": "11111111-1111-1111-1111-111111111111", "amount": 10 + n,
        "items": {SKUS[n % SKUS.len()]: 1}, "paymentMethod": METHODS[n % METHODS.len()].0});
    let key = format!("order-{n}");
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    for client in clients.iter().cycle().skip(n).take(600) {
        let answer = client.try_send("POST", "/orders", &[("idempotency-key", &key)], Some(&body)).await;
        match answer {
            Ok(reply) if reply.status == 200 => return (reply.body["id"].as_str().unwrap().to_owned(), n),
            Ok(reply) => assert_eq!(reply.status, 503, "{:?}", reply.body),
            Err(_) => {} // the instance was killed
        }
        pace.tick().await;
    }
    panic!("order {n} was never taken in");
}

/// Asks each client in turn until the saga has ended.
async fn ended(clients: &[Client], id: &str) -> Json {
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut last = Json::Null;
    for client in clients.iter().cycle().take(1_200) {
        if let Ok(reply) = client.try_send("GET", &format!("/sagas/{id}?wait=1s"), &[], None).await {
            assert_ne!(reply.status, 404, "an order that was answered 200 is lost");
            if ["COMPLETED", "COMPENSATED"].contains(&reply.body["status"].as_str().unwrap_or_default()) {
                return reply.body;
            }
            last = reply.body;
        }
        pace.tick().await;
    }
    panic!("saga {id} never ended: {last:#}");
}

/// Places `count` orders while `killer` does its work, and checks every one and all the books.
async fn orders_survive(clients: &[Client], books: &Client, count: usize, killer: impl Future<Output = ()>) {
    let placed = futures::future::join_all((0..count).map(|n| place(clients, n)));
    let (placed, ()) = tokio::join!(placed, killer);
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, n) in &placed {
        let saga = ended(clients, id).await;
        let (method, status) = METHODS[n % METHODS.len()];
        let order = books_of(clients, &format!("/orders/{id}")).await;
        assert_eq!(order["status"], status, "{method}: {saga:#}");
        let entries = books.get(&format!("/payments?orderId={id}")).await.body["entries"].clone();
        let count = |kind| entries.as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).count();
        let money = (count("CAPTURE"), count("REFUND"));
        match status {
            "CONFIRMED" => assert_eq!(money, (1, 0), "{method}: {entries}"),
            _ => assert_eq!(money.0, money.1, "{method}: {entries}"),
        }
        if status == "CONFIRMED" {
            *sold.entry(SKUS[n % SKUS.len()]).or_default() += 1;
        }
        let notices = books.get(&format!("/notifications?orderId={id}")).await.body["entries"].clone();
        assert_eq!(
            notices.as_array().unwrap().iter().filter(|entry| entry["outcome"] == status).count(),
            1,
            "{notices}"
        );
    }
    let unique: std::collections::BTreeSet<&String> = placed.iter().map(|(id, _)| id).collect();
    assert_eq!(unique.len(), count, "two orders have one id");
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    for sku in SKUS {
        let wanted = sold.get(sku).copied().unwrap_or(0);
        for round in 0.. {
            let stock = books.get(&format!("/inventory/{sku}")).await.body;
            let number = |name: &str| stock[name].as_i64().unwrap();
            assert_eq!(number("onHand"), number("available") + number("reserved") + number("sold"), "{stock}");
            if (number("reserved"), number("sold")) == (0, wanted) {
                break;
            }
            assert!(round < 300, "{sku}: {wanted} were sold: {stock}");
            pace.tick().await;
        }
    }
}

async fn books_of(clients: &[Client], path: &str) -> Json {
    for client in clients {
        if let Ok(reply) = client.try_send("GET", path, &[], None).await
            && reply.status == 200
        {
            return reply.body;
        }
    }
    panic!("nobody answers {path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_orders_survive_kills_of_everything() {
    let mut stack = Stack::prepare(&[("INVENTORY_DEFAULT_STOCK", "1000")]).await;
    let workers = ["inventory", "payment", "notification"];
    stack.serve("serve", &[]);
    for kind in workers {
        stack.worker(kind, &[kind], &[]);
    }
    stack.worker("books", &["inventory", "payment", "notification"], &[]);
    for name in ["serve", "inventory", "payment", "notification", "books"] {
        stack.ready(name).await;
    }
    let (clients, books) = ([stack.client("serve")], stack.client("books"));
    let killer = async {
        for round in 0..3 {
            for name in ["serve", "inventory", "payment", "notification"] {
                // The next one falls when the system has made some progress since the last.
                wait_for_progress(&stack, round).await;
                stack.process(name).kill();
                match name {
                    "serve" => stack.serve("serve", &[]),
                    kind => stack.worker(kind, &[kind], &[]),
                }
            }
        }
    };
    orders_survive(&clients, &books, 300, killer).await;
}

/// Waits until some more history has been written.
async fn wait_for_progress(stack: &Stack, _round: usize) {
    use sqlx::Row;
    let mut sql = stack.sql().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    let count = "SELECT count(*) FROM history";
    let before: i64 = sqlx::query(count).fetch_one(&mut sql).await.unwrap().get(0);
    for _ in 0..100 {
        pace.tick().await;
        let now: i64 = sqlx::query(count).fetch_one(&mut sql).await.unwrap().get(0);
        if now >= before + 60 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_the_load_and_one_takes_over() {
    let mut stack = Stack::prepare(&[("INVENTORY_DEFAULT_STOCK", "1000")]).await;
    stack.serve("one", &[]);
    stack.serve("two", &[]);
    stack.worker("books", &["inventory", "payment", "notification"], &[]);
    for name in ["one", "two", "books"] {
        stack.ready(name).await;
    }
    let clients = [stack.client("one"), stack.client("two")];
    let books = stack.client("books");
    shares(&stack, &[2, 2]).await;
    let killer = async {
        wait_for_progress(&stack, 0).await;
        stack.process("one").kill();
        shares(&stack, &[4]).await;
        stack.serve("one", &[]);
        shares(&stack, &[2, 2]).await;
    };
    orders_survive(&clients, &books, 100, killer).await;
}

/// Waits until the shards are shared so among the living owners.
async fn shares(stack: &Stack, wanted: &[i64]) {
    use sqlx::Row;
    let mut sql = stack.sql().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    let query = "SELECT count(*) FROM shard WHERE lease_until > extract(epoch from clock_timestamp()) * 1000000
                 AND owner IS NOT NULL GROUP BY owner ORDER BY owner";
    for _ in 0..300 {
        pace.tick().await;
        let rows = sqlx::query(query).fetch_all(&mut sql).await.unwrap();
        let shares: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        if shares == wanted {
            return;
        }
    }
    panic!("the shards were never shared {wanted:?}");
}
