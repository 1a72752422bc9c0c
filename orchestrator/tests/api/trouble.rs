//! When what the orchestrator stands on is away, and when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator::engine::{Engine, MAX_MOVING};
use orchestrator::store::StoreError;
use orchestrator::store::memory::MemoryStore;
use saga_model::Micros;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::state::Outcome;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{NOBODY, Server, Spy, Steps, USER, order, parts, request};

#[tokio::test]
async fn the_database_is_away() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    server.store.away();
    let ops = server.ops();
    let (order, parcel, reason, nothing) = (order(), json!({"input": {}}), json!({"reason": "x"}), json!({}));
    let key = [("idempotency-key", "k")];
    let begun = Instant::now();
    let replies = tokio::join!(
        ops.post("/orders", &order),
        ops.post_with("/orders", &key, &order),
        ops.post("/sagas/parcel", &parcel),
        ops.act(&id, "cancel", &reason),
        ops.act(&id, "cancel", &nothing),
        server.client().act(&id, "cancel", &reason),
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for reply in <[_; 6]>::from(replies) {
        assert_eq!(reply.refusal(), (503, "UNAVAILABLE".to_owned()));
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    for path in [
        format!("/orders/{id}"),
        format!("/orders?userId={USER}"),
        format!("/sagas/{id}"),
        format!("/sagas/{id}?wait=10s"),
        format!("/sagas/{id}/history"),
        format!("/sagas/{NOBODY}"),
    ] {
        assert_eq!(server.client().get(&path).await.refusal(), (503, "UNAVAILABLE".to_owned()), "{path}");
    }
    // What is wrong with the request itself is said all the same.
    assert_eq!(ops.post("/orders", &json!({})).await.status, 422);
    server.store.back();
    assert_eq!(server.store.started(), 1, "nothing was stored");
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["revision"], 1);
}

#[tokio::test]
async fn the_database_says_nothing() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    server.store.silent();
    let begun = Instant::now();
    let ops = server.ops();
    let (path, keyed) = (format!("/orders/{id}"), [("idempotency-key", "k")]);
    let (order, body, unsaid) = (order(), json!({"reason": "x"}), json!({}));
    let replies = tokio::join!(
        ops.post("/orders", &order),
        ops.get(&path),
        ops.act(&id, "cancel", &body),
        ops.act(&id, "cancel", &unsaid),
        ops.post_with("/orders", &keyed, &unsaid),
        ops.post_with("/orders", &keyed, &order),
    );
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let (started, read, cancelled, malformed, refused, keyed) = replies;
    for reply in [started, read, cancelled, malformed, keyed] {
        assert_eq!(reply.refusal(), (503, "UNAVAILABLE".to_owned()));
    }
    assert_eq!(refused.status, 422);
}

/// An engine that cannot find out what became of a commit says so, and goes on.
#[tokio::test]
async fn what_was_stored_cannot_be_read() {
    let server = Server::start().await;
    server.store.cut_off_next_start();
    server.store.unreadable();
    let reply = server.client().post("/orders", &order()).await;
    assert!(reply.body["detail"].as_str().unwrap().contains("may or may not have been stored"), "{:?}", reply.body);
    assert_eq!(reply.refusal(), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(server.client().post("/orders", &order()).await.status, 200);
    assert_eq!(server.store.started(), 2);
}

/// What the database has lost is lost; an engine that still believes in it takes its shards again, and goes on.
#[tokio::test]
async fn what_is_stored_is_not_what_the_engine_believes() {
    let server = Server::start().await;
    server.store.lose_next_start();
    server.client().order(&order()).await;
    let id = server.client().order_id(&order()).await;
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.status, 200);
    assert_eq!(server.store.started(), 1);
}

#[tokio::test]
async fn the_owner_says_nothing() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    server.store.deaf();
    let reply = server.ops().act(&id, "cancel", &json!({"reason": "x"})).await;
    assert_eq!(reply.refusal(), (503, "OWNER_UNAVAILABLE".to_owned()));
    assert!(reply.header("retry-after").is_some());
    let audit = server.store.audit();
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["revision"], 1, "nothing was done");
}

#[tokio::test]
async fn the_process_ends_while_somebody_waits() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let (client, path) = (server.client().clone(), format!("/sagas/{id}?wait=60s"));
    let begun = Instant::now();
    let waiting = tokio::spawn(async move { client.get(&path).await });
    // Asked again until the first one is certainly under way: it answers nothing by itself.
    server.client().get(&format!("/sagas/{id}?wait=100ms")).await;
    server.drain();
    let reply = waiting.await.unwrap();
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("RUNNING")));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_engine_that_has_ended_takes_nothing() {
    let mut server = Server::start().await;
    server.stop_engine(Duration::from_secs(60)).await;
    let reply = server.client().post("/orders", &order()).await;
    assert_eq!(reply.refusal(), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(server.store.started(), 0);
}

#[tokio::test]
async fn an_instance_that_owns_no_shard_is_not_ready_and_without_a_database_it_is_that() {
    let server = Server::start().await;
    server.store.depose();
    for path in ["/orders", "/sagas/order-fulfilment"] {
        let body = if path == "/orders" { order() } else { json!({"input": order()}) };
        let reply = server.client().post(path, &body).await;
        assert_eq!(reply.refusal(), (503, "NOT_READY".to_owned()));
        assert!(reply.header("retry-after").is_some());
    }
    server.store.away();
    assert_eq!(server.client().post("/orders", &order()).await.refusal(), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(server.store.started(), 0);
}

#[tokio::test]
async fn an_ending_process_answers_and_starts_nothing_new() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    // What was asked for before the end is done: its head is here, its body is not.
    let body = order().to_string();
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut before = server.client().open().await;
    before.write_all(head.as_bytes()).await.unwrap();
    let mut go_ahead = [0; 25];
    before.read_exact(&mut go_ahead).await.unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");

    server.drain();
    let ready = server.client().get("/readyz").await;
    assert_eq!((ready.status, &ready.body["status"]), (503, &json!("not ready")));
    assert_eq!(server.client().get("/livez").await.status, 200);
    for (path, body) in [("/orders", order()), ("/sagas/parcel", json!({"input": {}}))] {
        let reply = server.client().post(path, &body).await;
        assert_eq!(reply.refusal(), (503, "NOT_READY".to_owned()), "{path}");
        assert_eq!((reply.header("retry-after"), reply.header("connection")), (Some("1"), Some("close")), "{path}");
    }
    assert_eq!(server.client().get(&format!("/orders/{id}")).await.status, 200);
    assert_eq!(server.ops().act(&id, "pause", &json!({"reason": "x"})).await.status, 200);

    before.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    before.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(server.store.started(), 2);
}

#[tokio::test]
async fn a_body_that_does_not_come_does_not_hold_the_end_up() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ops-secret\r\n\
             content-type: application/json\r\ncontent-length: 10\r\n\r\n{{"
        )
    };
    let mut halves = Vec::new();
    for path in ["/orders".to_owned(), format!("/admin/sagas/{id}/pause")] {
        let mut half = server.client().open().await;
        half.write_all(head(&path).as_bytes()).await.unwrap();
        halves.push(half);
    }
    // Connections are served in order: once this is answered, the two before have been taken in.
    server.client().get("/livez").await;
    server.end();
    for mut half in halves {
        let mut answer = String::new();
        half.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("NOT_READY"), "{answer}");
        assert!(answer.contains("retry-after: 1"), "{answer}");
    }
    assert_eq!(server.store.audit().len(), 1, "it is recorded all the same");
}

#[tokio::test]
async fn an_engine_ends_while_the_broker_says_nothing() {
    let mut server = Server::start().await;
    server.bus.no_workers();
    server.bus.silent();
    server.client().order(&order()).await;
    server.bus.asked_in_vain().await;
    let begun = Instant::now();
    server.stop_engine(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_engine_whose_database_says_nothing_is_cut_off() {
    let mut server = Server::start().await;
    server.store.silent();
    let begun = Instant::now();
    server.stop_engine(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn health_and_metrics() {
    let server = Server::start().await;
    assert_eq!(server.client().get("/livez").await.status, 200);
    let ready = server.client().get("/readyz").await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("ready")));
    assert_eq!(ready.body["dependencies"]["shards"]["status"], "up");
    server.client().order(&order()).await;
    server.client().post("/orders", &json!({})).await;
    server.client().get(&format!("/orders/{NOBODY}")).await;
    server.client().get("/definitions/parcel").await;
    server.client().get("/nothing").await;
    let metrics = server.client().get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        r#"http_requests_total{route="/orders",method="POST",status="200"} 1"#,
        r#"http_requests_total{route="/orders",method="POST",status="422"} 1"#,
        r#"http_requests_total{route="/orders/{id}",method="GET",status="404"} 1"#,
        r#"http_requests_total{route="/definitions/{name}",method="GET",status="200"} 1"#,
        r#"saga_started_total{definition="order-fulfilment"} 1"#,
    ] {
        assert!(metrics.text.contains(line), "{line} in\n{}", metrics.text);
    }
}

/// The first late reply of its kind is also a row of the history.
#[tokio::test]
async fn every_late_reply_is_counted() {
    let server = Server::start().await;
    server.happy();
    let id = server.client().order_id(&order()).await;
    server.client().at_rest(&id).await;
    let command = server.bus.commands().remove(0);
    for times in 1..=3 {
        server.bus.answer(&command, (Outcome::Unknown, ""));
        let line = format!(r#"saga_replies_ignored_total{{reason="late"}} {times}"#);
        let counted = async { while !server.client().get("/metrics").await.text.contains(&line) {} };
        tokio::time::timeout(Duration::from_secs(30), counted).await.expect(&line);
    }
    let history = server.client().get(&format!("/sagas/{id}/history")).await;
    let rows = history.body["events"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["type"] == "ReplyIgnored").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_refuses_at_once_is_asked_for_shards_in_doubt_with_a_pause() {
    let store = MemoryStore::new(ShardCount::new(1).unwrap(), Arc::new(|| Micros(0)));
    let store = Arc::new(Spy::new(store));
    let (parts, _bus) = parts(&store, Micros(0), "test", MAX_MOVING).await;
    let (engine, running) = Engine::start(parts);
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    while engine.owned().is_empty() {
        pace.tick().await;
    }
    let (breaks, before) = (store.clone(), store.takes());
    store.judge(move |_| {
        breaks.away();
        Err(StoreError::OutcomeUnknown("cut off".to_owned()))
    });
    let asked = tokio::spawn(async move { engine.begin(request("{}")).await });
    // By the runtime's clock, which moves when nobody has anything to do.
    let begun = tokio::time::Instant::now();
    while store.takes() < before + 6 {
        pace.tick().await;
    }
    let (takes, passed) = (store.takes() - before, begun.elapsed());
    assert!(takes == 6 && passed >= Duration::from_secs(1), "asked {takes} times in {passed:?}");
    asked.abort();
    running.stop(Duration::from_secs(1)).await;
}

/// A shard that was taken before a doubt began and is loaded in it.
#[tokio::test]
async fn in_doubt_no_shard_comes_in() {
    let mut steps = Steps::new(2).await.stranger().await;
    steps.store.slow();
    steps.store.judge(|batch| match batch.inserts.len() {
        0 => Ok(()),
        _ => Err(StoreError::OutcomeUnknown("cut off".to_owned())),
    });
    let begun = steps.begin(vec![request("{}")]);
    tokio::task::yield_now().await;
    steps.keep_leases().await;
    assert_eq!(steps.owned(), [], "the first is in doubt, and the second is left alone");
    steps.store.judge(|_| Ok(()));
    for _ in 0..2 {
        steps.keep_leases().await;
    }
    steps.turns(5).await;
    assert_eq!(steps.owned(), [ShardId(0), ShardId(1)]);
    for begun in begun {
        assert!(begun.await.unwrap().is_ok());
    }
    assert_eq!(steps.store.started(), 1);
}
