//! Orders under fire: whatever is killed meanwhile, what was answered 200 ends as it should, and the books balance.

use std::collections::BTreeMap;

use serde_json::json;

use super::client::{Client, Json};

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
pub async fn orders_survive(clients: &[Client], books: &Client, count: usize, killer: impl Future<Output = ()>) {
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
