//! Messages that cannot be read or be genuine: dead letters, and the partition moves on.

mod support;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::Row;
use support::{Json, Stack};

const USER: &str = "11111111-1111-1111-1111-111111111111";

fn producer(stack: &Stack) -> FutureProducer {
    let brokers = &stack.env["KAFKA_BROKERS"];
    ClientConfig::new().set("bootstrap.servers", brokers).set("partitioner", "murmur2_random").create().unwrap()
}

async fn send(stack: &Stack, producer: &FutureProducer, topic: &str, key: &str, value: Option<&[u8]>) {
    let topic = format!("{}{topic}", stack.prefix);
    for partition in 0..4 {
        let mut record = FutureRecord::to(&topic).key(key).partition(partition);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

/// Places an order and waits for its end.
async fn one_order(stack: &Stack) -> Json {
    let client = stack.client("serve");
    let body = json!({"userId": USER, "amount": 5, "items": {uuid::Uuid::new_v4().to_string(): 1}, "paymentMethod": "pm_approve"});
    let order = client.order(&body).await;
    client.at_rest(order["id"].as_str().unwrap()).await
}

/// Waits until that many dead letters of the topic are listed, and returns their codes, each once a partition.
async fn codes(stack: &Stack, topic: &str, count: usize) -> Vec<String> {
    let mut sql = stack.sql().await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..300 {
        pace.tick().await;
        let query = "SELECT code FROM dead_letter WHERE topic LIKE '%' || $1 ORDER BY partition, \"offset\"";
        let rows = sqlx::query(query).bind(topic).fetch_all(&mut sql).await.unwrap();
        if rows.len() >= count {
            return rows.iter().map(|row| row.get(0)).collect();
        }
    }
    panic!("fewer than {count} dead letters of {topic}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_replies_change_nothing_and_stop_nothing() {
    let stack = Stack::start(&[]).await;
    let saga = one_order(&stack).await;
    let (id, other) = (saga["id"].as_str().unwrap(), uuid::Uuid::new_v4().to_string());
    let genuine = json!({"sagaId": id, "step": "reserve-inventory", "kind": "ACTION", "round": 1, "attempt": 1,
        "token": "guessed", "outcome": "SUCCEEDED"});
    let with = |name: &str, value: Json| {
        let mut message = genuine.clone();
        message[name] = value;
        message.to_string()
    };
    let mut missing = genuine.clone();
    missing.as_object_mut().unwrap().remove("token");
    let cases: Vec<(Option<String>, &str)> = vec![
        (None, "NOT_JSON"),
        (Some("null".into()), "WRONG_TYPE"),
        (Some("{".into()), "NOT_JSON"),
        (Some("[1]".into()), "WRONG_TYPE"),
        (Some(with("kind", json!("UNDO"))), "WRONG_TYPE"),
        (Some(with("attempt", json!(0))), "WRONG_TYPE"),
        (Some(with("output", json!([]))), "WRONG_TYPE"),
        (Some(missing.to_string()), "MISSING_FIELD"),
        (Some(with("outcome", json!("MAYBE"))), "UNKNOWN_OUTCOME"),
        (Some(with("sagaId", json!(other))), "UNKNOWN_SAGA"),
        (Some(with("step", json!("bake-cake"))), "UNKNOWN_STEP"),
        (Some(with("kind", json!("COMPENSATE"))), "FUTURE_STEP"),
        (Some(with("round", json!(7))), "FUTURE_STEP"),
        (Some(genuine.to_string()), "WRONG_TOKEN"),
        (Some(with("output", json!({"x": "y".repeat(140_000)}))), "TOO_LARGE"),
    ];
    let producer = producer(&stack);
    for (value, _) in &cases {
        send(&stack, &producer, "saga.replies", id, value.as_deref().map(str::as_bytes)).await;
    }
    // A reply is passed on to its own partition, so a readable one of a known or unknown saga is judged there, four times.
    let mut expected: Vec<&str> = cases.iter().flat_map(|(_, code)| [*code; 4]).collect();
    let mut found = codes(&stack, "saga.replies", expected.len()).await;
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    let after = stack.client("serve").get(&format!("/sagas/{id}")).await.body;
    assert_eq!(after, saga, "no dead letter changes a saga");
    assert_eq!(one_order(&stack).await["status"], "COMPLETED");
    let mut letters = stack.topics(&["saga.dead-letters"]);
    let letters = letters.until(|seen| seen.len() >= cases.len() * 4);
    let letter = letters.iter().find(|letter| letter.headers["dl_code"] == "WRONG_TOKEN").unwrap();
    assert_eq!(letter.raw, genuine.to_string().as_bytes());
    assert_eq!(letter.key, id);
    for header in ["dl_topic", "dl_partition", "dl_offset", "dl_detail", "dl_at"] {
        assert!(letter.headers.contains_key(header), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_commands_change_nothing_and_stop_nothing() {
    let stack = Stack::start(&[]).await;
    let producer = producer(&stack);
    let topics = ["inventory.commands", "payment.commands", "notification.commands"];
    for topic in topics {
        for value in [None, Some(&b"garbage"[..]), Some(b"null"), Some(b"{}"), Some(b"\xff\xfe"), Some(b"[]")] {
            send(&stack, &producer, topic, "not-a-saga", value).await;
        }
    }
    assert_eq!(one_order(&stack).await["status"], "COMPLETED");
    for topic in topics {
        let mut found = codes(&stack, topic, 24).await;
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, ["MISSING_FIELD", "NOT_JSON", "WRONG_TYPE"], "{topic}");
    }
}
