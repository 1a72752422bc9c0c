//! What operators do on the whole system, at an instance that does not own the saga.

mod support;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::Row;
use support::{Client, Json, Stack, TopicReader};

const USER: &str = "11111111-1111-1111-1111-111111111111";

/// Two instances of the orchestrator, workers for the first two steps, and this test as the worker of the third.
struct Office {
    stack: Stack,
    one: Client,
    two: Client,
    producer: FutureProducer,
    commands: TopicReader,
}

impl Office {
    async fn open() -> Self {
        // A step that has to wait for its next attempt waits until somebody says so.
        let mut stack = Stack::prepare(&[
            ("STEP_ATTEMPTS", "3"),
            ("COMPENSATION_ATTEMPTS", "1"),
            ("RETRY_BASE", "1h"),
            ("RETRY_CAP", "1h"),
        ])
        .await;
        stack.serve("one", &[]);
        stack.serve("two", &[]);
        stack.worker("workers", &["inventory", "payment"], &[]);
        for name in ["one", "two", "workers"] {
            stack.ready(name).await;
        }
        let (one, two) = (stack.admin("one"), stack.admin("two"));
        let producer = producer(&stack);
        let commands = stack.topics(&["notification.commands"]);
        let office = Self { stack, one, two, producer, commands };
        office.shares_are_fair().await;
        office
    }

    /// Waits until each instance has half of the shards: then they stay where they are.
    async fn shares_are_fair(&self) {
        let mut sql = self.stack.sql().await;
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..600 {
            pace.tick().await;
            let query = "SELECT count(*) FROM shard WHERE owner IS NOT NULL GROUP BY owner";
            let rows = sqlx::query(query).fetch_all(&mut sql).await.unwrap();
            let shares: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            if shares == [2, 2] {
                return;
            }
        }
        panic!("the shards were never shared");
    }

    /// Places an order at the first instance, which is then its saga's owner.
    async fn order(&self, method: &str) -> String {
        let sku = uuid::Uuid::new_v4().to_string();
        let body = json!({"userId": USER, "amount": 499.99, "items": {sku: 1}, "paymentMethod": method});
        self.one.order(&body).await["id"].as_str().unwrap().to_owned()
    }

    async fn owner(&self, saga: &str) -> String {
        let slot = saga.parse::<saga_model::SagaId>().unwrap().slot().get();
        let query = sqlx::query("SELECT owner FROM shard WHERE id = $1").bind(i16::from(slot) % 4);
        query.fetch_one(&mut self.stack.sql().await).await.unwrap().get(0)
    }

    /// Asks the other instance, and answers the status with the body.
    async fn ask(&self, saga: &str, verb: &str, body: Json) -> (u16, Json) {
        let reply = self.two.post(&format!("/admin/sagas/{saga}/{verb}"), &body).await;
        (reply.status, reply.body)
    }

    async fn done(&self, saga: &str, verb: &str, body: Json) -> Json {
        let (status, body) = self.ask(saga, verb, body).await;
        assert_eq!(status, 200, "{verb}: {body}");
        body
    }

    async fn refused(&self, saga: &str, verb: &str, body: Json) -> (u16, String) {
        let (status, body) = self.ask(saga, verb, body).await;
        (status, body["code"].as_str().unwrap().to_owned())
    }

    /// Answers the notification of a saga, and returns its command.
    async fn notified(&mut self, saga: &str, round: u32, outcome: &str) -> Json {
        let wanted = |command: &Json| command["sagaId"] == saga && command["round"] == round;
        let seen = self.commands.until(|seen| seen.iter().any(|event| wanted(&event.value)));
        let command = seen.into_iter().find(|event| wanted(&event.value)).unwrap().value;
        let mut reply = json!({"outcome": outcome});
        for name in ["sagaId", "step", "kind", "round", "attempt", "token"] {
            reply[name] = command[name].clone();
        }
        if outcome == "REJECTED" {
            reply["error"] = json!({"code": "NO_ADDRESS", "message": "the customer has no address"});
        }
        let (topic, reply) = (format!("{}saga.replies", self.stack.prefix), reply.to_string());
        let record = FutureRecord::to(&topic).key(saga).payload(&reply);
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
        command
    }

    /// The audit of a saga, oldest first: action, outcome, code. It is the same at both instances.
    async fn audit(&self, saga: &str) -> Json {
        let path = format!("/admin/audit?sagaId={saga}");
        let (one, two) = (self.one.get(&path).await.body, self.two.get(&path).await.body);
        assert_eq!(one, two);
        let entries = one["entries"].as_array().unwrap();
        assert!(entries.iter().all(|entry| entry["actor"] == "key:ops" && entry["reason"] == "x"), "{one}");
        entries.iter().rev().map(|entry| json!([entry["action"], entry["outcome"], entry["code"]])).collect()
    }
}

fn producer(stack: &Stack) -> FutureProducer {
    let brokers = &stack.env["KAFKA_BROKERS"];
    ClientConfig::new().set("bootstrap.servers", brokers).set("partitioner", "murmur2_random").create().unwrap()
}

fn why() -> Json {
    json!({"reason": "x"})
}

fn waits_for(kind: &'static str, step: &'static str) -> impl Fn(&Json) -> bool {
    move |saga| saga["waitingFor"]["kind"] == kind && saga["waitingFor"]["step"] == step
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_at_an_instance_that_does_not_own_the_saga() {
    let mut office = Office::open().await;
    let saga = office.order("pm_approve").await;
    let elsewhere = office.two.order(&json!({"userId": USER, "amount": 1, "items": {USER: 1}})).await;
    assert_ne!(office.owner(&saga).await, office.owner(elsewhere["id"].as_str().unwrap()).await);

    // pause, resume, compensate, with the revision that is meant.
    office.one.until(&saga, waits_for("worker", "notify-customer")).await;
    let path = format!("/admin/sagas/{saga}/pause");
    let other = office.two.try_send("POST", &path, &[("if-match", "\"9\"")], Some(&why())).await.unwrap();
    assert_eq!((other.status, &other.body["code"]), (412, &json!("REVISION_MISMATCH")));
    assert_eq!(office.refused(&saga, "cancel", why()).await, (409, "ACTION_NOT_ALLOWED".to_owned()));
    let this = office.two.try_send("POST", &path, &[("if-match", "\"3\"")], Some(&why())).await.unwrap();
    assert_eq!((this.status, &this.body["status"]), (200, &json!("PAUSED")), "{}", this.body);
    assert_eq!(office.refused(&saga, "pause", why()).await, (409, "ACTION_NOT_ALLOWED".to_owned()));
    assert_eq!(office.done(&saga, "resume", why()).await["status"], "RUNNING");
    assert_eq!(office.done(&saga, "compensate", why()).await["failure"]["code"], "COMPENSATED_BY_OPERATOR");
    assert_eq!(office.refused(&saga, "skip", json!({"reason": "x"})).await.0, 422);
    let audit = json!([
        ["pause", "REFUSED", "REVISION_MISMATCH"],
        ["cancel", "REFUSED", "ACTION_NOT_ALLOWED"],
        ["pause", "DONE", null],
        ["pause", "REFUSED", "ACTION_NOT_ALLOWED"],
        ["resume", "DONE", null],
        ["compensate", "DONE", null],
        ["skip", "REFUSED", "VALIDATION_FAILED"],
    ]);
    assert_eq!(office.audit(&saga).await, audit);

    // replay = try now, while it waits for its next attempt.
    let saga = office.order("pm_flaky").await;
    for attempts in 1..=2 {
        let waits = waits_for("retry", "charge-payment");
        office.one.until(&saga, |saga| waits(saga) && saga["steps"][1]["attempts"] == attempts).await;
        office.done(&saga, "replay", why()).await;
    }
    office.one.until(&saga, |saga| saga["steps"][1]["status"] == "SUCCEEDED").await;
    assert_eq!(office.audit(&saga).await, json!([["replay", "DONE", null], ["replay", "DONE", null]]));

    // cancel; then skip and resolve of what is stuck.
    for verb in ["skip", "resolve"] {
        let saga = office.order("pm_refund_fails").await;
        office.one.until(&saga, waits_for("retry", "charge-payment")).await;
        office.done(&saga, "cancel", why()).await;
        let stuck = office.one.at_rest(&saga).await;
        assert_eq!((&stuck["status"], &stuck["stuck"]["cause"]), (&json!("STUCK"), &json!("UNDO_FAILED")));
        let other = json!({"reason": "x", "input": {"userId": USER, "amount": 1, "items": {USER: 1}}});
        assert_eq!(office.refused(&saga, "replay", other).await, (409, "EFFECT_MAY_STAND".to_owned()));
        let body = if verb == "skip" { json!({"reason": "x", "step": "charge-payment"}) } else { why() };
        let status = if verb == "skip" { "COMPENSATING" } else { "RESOLVED" };
        assert_eq!(office.done(&saga, verb, body).await["status"], status);
        let audit = json!([["cancel", "DONE", null], ["replay", "REFUSED", "EFFECT_MAY_STAND"], [verb, "DONE", null]]);
        assert_eq!(office.audit(&saga).await, audit);
    }

    // replay of what is stuck, from its step and with another input.
    let saga = office.order("pm_approve").await;
    office.notified(&saga, 1, "REJECTED").await;
    assert_eq!(office.one.at_rest(&saga).await["stuck"]["cause"], "REJECTED");
    let other_step = json!({"reason": "x", "fromStep": "charge-payment"});
    assert_eq!(office.refused(&saga, "replay", other_step).await, (422, "STEP_NOT_REPLAYABLE".to_owned()));
    let input = json!({"userId": USER, "amount": "7.50", "items": {USER: 1}});
    let body = json!({"reason": "x", "fromStep": "notify-customer", "input": input});
    assert_eq!(office.done(&saga, "replay", body).await["status"], "RUNNING");
    let command = office.notified(&saga, 2, "SUCCEEDED").await;
    assert_eq!(command["payload"]["totalAmount"], 7.5, "{command}");
    assert_eq!(office.one.at_rest(&saga).await["status"], "COMPLETED");
    assert_eq!(office.refused(&saga, "replay", why()).await, (409, "ACTION_NOT_ALLOWED".to_owned()));
    let audit = json!([
        ["replay", "REFUSED", "STEP_NOT_REPLAYABLE"],
        ["replay", "DONE", null],
        ["replay", "REFUSED", "ACTION_NOT_ALLOWED"],
    ]);
    assert_eq!(office.audit(&saga).await, audit);
}

/// The dead letters, newest first, once there are so many.
/// Whoever puts a request and then dies, or loses the database, leaves it behind. It is not carried out some day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_left_behind_is_withdrawn() {
    let office = Office::open().await;
    let saga = office.order("pm_approve").await;
    office.one.until(&saga, waits_for("worker", "notify-customer")).await;
    office.done(&saga, "pause", why()).await;
    office.done(&saga, "resume", why()).await;
    // The same request once more, as if an instance had put it so many microseconds ago.
    let mut sql = office.stack.sql().await;
    let mut put = async |age: i64| -> String {
        let put = "INSERT INTO admin_request (id, saga_id, shard, action, body, actor, reason, at, status)
            SELECT $1, saga_id, shard, action, body, actor, reason,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $2, 'PENDING'
            FROM admin_request WHERE action = 'pause' AND status = 'DONE' LIMIT 1";
        let id = uuid::Uuid::now_v7();
        sqlx::query(put).bind(id).bind(age).execute(&mut sql).await.unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..600 {
            pace.tick().await;
            let query = "SELECT status FROM admin_request WHERE id = $1";
            let status: String = sqlx::query_scalar(query).bind(id).fetch_one(&mut sql).await.unwrap();
            if status != "PENDING" {
                return status;
            }
        }
        panic!("nobody looked at it");
    };
    assert_eq!(put(60_000_000).await, "WITHDRAWN");
    assert_eq!(office.one.get(&format!("/sagas/{saga}")).await.body["status"], "RUNNING");
    assert_eq!(put(0).await, "DONE");
    assert_eq!(office.one.get(&format!("/sagas/{saga}")).await.body["status"], "PAUSED");
}

async fn letters(client: &Client, query: &str, count: u64) -> Vec<Json> {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..1_200 {
        pace.tick().await;
        let page = client.get(&format!("/admin/dead-letters{query}")).await.body;
        if page["total"] == count {
            return page["deadLetters"].as_array().unwrap().clone();
        }
    }
    panic!("never {count} dead letters: {}", client.get("/admin/dead-letters").await.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_orchestrator_and_workers_are_replayed_once() {
    let mut stack = Stack::start(&[]).await;
    stack.serve("two", &[]);
    stack.ready("two").await;
    let (one, two) = (stack.admin("serve"), stack.admin("two"));
    let producer = producer(&stack);
    for topic in ["payment.commands", "saga.replies"] {
        let topic = format!("{}{topic}", stack.prefix);
        let record = FutureRecord::to(&topic).key("no-saga").payload(&b"garbage"[..]);
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
    let mut topics: Vec<_> = letters(&one, "", 2).await.iter().map(|letter| letter["topic"].clone()).collect();
    topics.sort_by_key(Json::to_string);
    assert_eq!(topics, ["payment.commands", "saga.replies"]);

    // At both instances at once: one sends, and the worker refuses it once more.
    let letter = letters(&two, "?topic=payment.commands", 1).await.remove(0);
    let path = format!("/admin/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let tries = (0..10).map(|n| {
        let (client, path) = (if n % 2 == 0 { one.clone() } else { two.clone() }, path.clone());
        async move { client.post(&path, &why()).await.status }
    });
    let mut statuses = futures::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409, 409, 409]);
    let both = letters(&one, "?topic=payment.commands", 2).await;
    assert_eq!((&both[1]["status"], &both[0]["status"]), (&json!("REPLAYED"), &json!("NEW")));
    for name in ["key", "valueBase64", "code", "partition"] {
        assert_eq!(both[0][name], both[1][name], "{name}: by its key to the same place");
    }
    let sent = stack.topics(&["payment.commands"]).until(|seen| seen.len() >= 2);
    assert!(sent.iter().all(|message| message.raw == b"garbage" && message.headers.is_empty()), "{sent:?}");

    // A reply that cannot be genuine is none at the second reading either.
    let letter = letters(&one, "?topic=saga.replies", 1).await.remove(0);
    let id = letter["id"].as_str().unwrap();
    assert_eq!(two.post(&format!("/admin/dead-letters/{id}/discard"), &why()).await.status, 200);
    assert_eq!(one.post(&format!("/admin/dead-letters/{id}/replay"), &why()).await.status, 409);
    assert_eq!(letters(&two, "?status=DISCARDED", 1).await[0]["id"], letter["id"]);

    // What a worker was asked stands in the same audit.
    let body = json!({"onHand": 7, "reason": "delivery"});
    let workers = stack.admin("workers");
    let set = workers.try_send("PUT", &format!("/admin/inventory/{USER}"), &[], Some(&body)).await.unwrap();
    assert_eq!(set.status, 200, "{}", set.body);
    let entry = one.get("/admin/audit?limit=1").await.body["entries"][0].clone();
    assert_eq!((&entry["action"], &entry["reason"]), (&json!("set-stock"), &json!("delivery")));
    assert_eq!((&entry["actor"], &entry["outcome"]), (&json!("key:ops"), &json!("DONE")));
    let replays = two.get("/admin/audit?action=replay").await.body["entries"].as_array().unwrap().clone();
    assert_eq!(replays.iter().filter(|entry| entry["outcome"] == "DONE").count(), 1);
    assert_eq!(replays.len(), 11);
}
