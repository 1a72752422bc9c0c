//! Keys and batches on the whole system, while instances come and go.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::Row;
use support::{Client, Json, Reply, Stack};

const USER: &str = "11111111-1111-1111-1111-111111111111";

fn order() -> Json {
    json!({"userId": USER, "amount": 5, "items": {USER: 1}, "paymentMethod": "pm_approve"})
}

async fn post(client: &Client, key: &str) -> Option<Reply> {
    client.try_send("POST", "/orders", &[("idempotency-key", key)], Some(&order())).await.ok()
}

/// Asks both in turn until one of them answers 200; nothing but 503 and no answer may come before. Returns the id.
async fn ordered(clients: &[Client], key: &str) -> String {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for client in clients.iter().cycle().take(600) {
        pace.tick().await;
        match post(client, key).await {
            Some(Reply { status: 200, body, .. }) => return body["id"].as_str().unwrap().to_owned(),
            Some(reply) => assert_eq!(reply.status, 503, "{key}: {reply:?}"),
            None => {}
        }
    }
    panic!("{key} was never answered");
}

async fn count(stack: &Stack) -> i64 {
    sqlx::query("SELECT count(*) FROM saga").fetch_one(&mut stack.sql().await).await.unwrap().get(0)
}

async fn two_instances() -> (Stack, [Client; 2]) {
    let mut stack = Stack::prepare(&[("INVENTORY_DEFAULT_STOCK", "1000")]).await;
    stack.serve("one", &[]);
    stack.serve("two", &[]);
    stack.worker("workers", &["inventory", "payment", "notification"], &[]);
    for name in ["one", "two", "workers"] {
        stack.ready(name).await;
    }
    let clients = [stack.client("one"), stack.client("two")];
    (stack, clients)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_instances_at_once_is_one_order() {
    let (stack, clients) = two_instances().await;
    for round in 0..10 {
        let key = format!("key-{round}");
        let asked = (0..20).map(|n| ordered(&clients[n % 2..=n % 2], &key));
        let ids: BTreeSet<String> = join_all(asked).await.into_iter().collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    assert_eq!(count(&stack).await, 10);
    stack.audit();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_outlives_the_instance_that_took_it() {
    let (mut stack, clients) = two_instances().await;
    let keys: Vec<String> = (0..60).map(|n| format!("key-{n}")).collect();
    let asking = join_all(keys.iter().map(|key| ordered(&clients, key)));
    // It dies while it takes orders, some stored and not answered yet; the other one takes its shards.
    let killing = async {
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        while count(&stack).await == 0 {
            pace.tick().await;
        }
        stack.process("one").kill();
    };
    let (first, ()) = tokio::join!(asking, killing);
    let first: BTreeMap<&String, String> = keys.iter().zip(first).collect();
    for client in ["two", "one"] {
        if client == "one" {
            stack.serve("one", &[]);
            stack.ready("one").await;
        }
        let clients = [stack.client(client)];
        let again = join_all(keys.iter().map(|key| ordered(&clients, key))).await;
        let again: BTreeMap<&String, String> = keys.iter().zip(again).collect();
        assert_eq!(first, again, "at {client}");
    }
    assert_eq!(count(&stack).await, 60);
    for id in first.values() {
        assert_eq!(stack.client("two").at_rest(id).await["status"], "COMPLETED");
    }
    stack.audit();
}

/// What the database, JSON and numbers have trouble with, in one batch of replies: each saga gets its own answer, and none waits
/// for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hard_replies_in_one_batch_on_the_real_store() {
    let mut stack = Stack::prepare(&[("STEP_TIMEOUT", "1m")]).await;
    stack.serve("serve", &[]);
    stack.worker("workers", &["inventory", "payment"], &[]);
    for name in ["serve", "workers"] {
        stack.ready(name).await;
    }
    let client = stack.client("serve");
    let kinds = 8;
    let mut commands = stack.topics(&["notification.commands"]);
    join_all((0..5 * kinds).map(|_| async { client.order(&order()).await })).await;
    let commands: Vec<Json> =
        commands.until(|seen| seen.len() >= 5 * kinds).into_iter().map(|seen| seen.value).collect();
    let brokers = &stack.env["KAFKA_BROKERS"];
    let mut config = ClientConfig::new();
    // One batch.
    config.set("bootstrap.servers", brokers).set("partitioner", "murmur2_random").set("linger.ms", "100");
    let producer: FutureProducer = config.create().unwrap();
    let topic = format!("{}saga.replies", stack.prefix);
    let wide = format!(r#"{{"a":"{}"}}"#, "x".repeat(60_000));
    let sent = commands.iter().enumerate().map(|(n, command)| {
        let output = match n % kinds {
            0 => r#"{"nul":"\u0000","\u0000":1}"#,
            1 => r#"{"deep":[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
            2 => r#"{"number":1e300,"exact":0.1000000000000000000000000000001}"#,
            3 => &wide,
            4 => r#"{"ö":"\ud83d\ude00","quote":"'; DROP TABLE saga; --"}"#,
            // No replies at all: the command is answered properly afterwards.
            5 => r#"{"twice":1,"twice":2}"#,
            6 => r#"{"lone":"\ud800"}"#,
            _ => "[]",
        };
        let members: Vec<String> = ["sagaId", "step", "kind", "round", "attempt", "token"]
            .map(|name| format!(r#""{name}":{}"#, command[name]))
            .into();
        let value = |output: &str| format!(r#"{{{},"outcome":"SUCCEEDED","output":{output}}}"#, members.join(","));
        let mut values = vec![value(output)];
        if n % kinds >= 5 {
            values.push(value("{}"));
        }
        let (producer, topic) = (&producer, &topic);
        async move {
            for value in values {
                let record = FutureRecord::to(topic).key(command["sagaId"].as_str().unwrap()).payload(&value);
                producer.send(record, Duration::from_secs(10)).await.unwrap();
            }
        }
    });
    join_all(sent).await;
    for command in &commands {
        let saga = client.at_rest(command["sagaId"].as_str().unwrap()).await;
        assert_eq!(saga["status"], "COMPLETED", "{saga}");
    }
    let letters = stack.admin("serve").get("/admin/dead-letters?topic=saga.replies").await.body;
    assert_eq!(letters["total"], 15, "{letters}");
    stack.audit();
}
