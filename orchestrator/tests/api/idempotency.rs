//! The same request again.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use crate::support::{Client, INK, Json, PEN, Reply, Server, USER, order, order_with};

async fn post(client: &Client, key: &str, body: &str) -> Reply {
    client.send("POST", "/orders", &[("content-type", "application/json"), ("idempotency-key", key)], body).await
}

fn id(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn fifty_at_once_are_one_order() {
    let server = Server::start().await;
    let body = order().to_string();
    let replies = join_all((0..50).map(|_| post(server.client(), "fifty", &body))).await;
    let ids: BTreeSet<_> = replies.iter().map(id).collect();
    assert_eq!((ids.len(), server.store.started()), (1, 1));
    let locations: BTreeSet<_> = replies.iter().map(|reply| reply.header("location").unwrap()).collect();
    assert_eq!(locations.len(), 1);
    let first = replies.iter().filter(|reply| reply.header("idempotent-replayed").is_none()).count();
    let repeated = replies.iter().filter(|reply| reply.header("idempotent-replayed") == Some("true")).count();
    assert_eq!((first, repeated), (1, 49));
}

#[tokio::test]
async fn a_repeat_gets_the_order_as_it_is_now() {
    let server = Server::start().await;
    server.happy();
    let body = order().to_string();
    let first = post(server.client(), "k", &body).await;
    assert_eq!(first.body["status"], "CREATED");
    server.client().at_rest(&id(&first)).await;
    let again = post(server.client(), "k", &body).await;
    assert_eq!((id(&again), again.body["status"].as_str()), (id(&first), Some("CONFIRMED")));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn the_same_order_in_other_words() {
    let server = Server::start().await;
    let same = [
        order().to_string(),
        format!(
            r#"{{ "items" : {{"{INK}":1,"{}":2}}, "amount": "500.00", "userId": "{USER}", "currency": "USD" }}"#,
            PEN.to_uppercase()
        ),
        format!(r#"{{"userId": "{USER}", "amount": 500.0, "items": {{"{PEN}": 2, "\u0062{}": 1}}}}"#, &INK[1..]),
    ];
    let mut ids = BTreeSet::new();
    for body in &same {
        ids.insert(id(&post(server.client(), "same", body).await));
    }
    assert_eq!((ids.len(), server.store.started()), (1, 1));
    for other in [
        json!({"amount": 500.01}),
        json!({"currency": "EUR"}),
        json!({"paymentMethod": "pm_approve"}),
        json!({"items": {PEN: 2}}),
        json!({"items": {PEN: 2, INK: 2}}),
        // A line of 0 asks for nothing, but it is a line.
        json!({"items": {PEN: 2, INK: 1, USER: 0}}),
        json!({"userId": PEN}),
    ] {
        let reply = post(server.client(), "same", &order_with(other.clone()).to_string()).await;
        assert_eq!(reply.refusal(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{other}");
    }
    assert_eq!(server.store.started(), 1);
    // A body that is refused for itself is refused for that, key or no key.
    let reply = post(server.client(), "same", "{}").await;
    assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()));
}

#[tokio::test]
async fn keys_are_separate() {
    let server = Server::start().await;
    let body = order().to_string();
    let mut ids = BTreeSet::new();
    // For each API key; callers without one share one space.
    for client in [server.client().clone(), server.key("shop"), server.ops()] {
        ids.insert(id(&post(&client, "k", &body).await));
    }
    assert_eq!(id(&post(server.client(), "k", &body).await), {
        let again = post(&Client::new(server.client().base().to_owned()), "k", &body).await;
        id(&again)
    });
    // For each path.
    let start = |path: &'static str, body: Json| {
        let client = server.client().clone();
        async move { client.post_with(path, &[("idempotency-key", "k")], &body).await }
    };
    let saga = start("/sagas/order-fulfilment", json!({"input": order()})).await;
    assert_eq!((saga.status, saga.header("idempotent-replayed")), (202, None));
    ids.insert(saga.body["id"].as_str().unwrap().to_owned());
    let parcel = start("/sagas/parcel", json!({"input": order()})).await;
    assert_eq!((parcel.status, parcel.header("idempotent-replayed")), (202, None));
    ids.insert(parcel.body["id"].as_str().unwrap().to_owned());
    assert_eq!((ids.len(), server.store.started()), (5, 5));
    // Case counts.
    assert_eq!(post(server.client(), "K", &body).await.header("idempotent-replayed"), None);
    // Without a key, every request is a new one.
    let (one, other) = (server.client().order_id(&order()).await, server.client().order_id(&order()).await);
    assert_ne!(one, other);
}

#[tokio::test]
async fn the_longest_key() {
    let server = Server::start().await;
    let key = "!~".repeat(127) + "k";
    let (one, other) = (
        post(server.client(), &key, &order().to_string()).await,
        post(server.client(), &key, &order().to_string()).await,
    );
    assert_eq!(id(&one), id(&other));
}

#[tokio::test]
async fn a_saga_is_started_once() {
    let server = Server::start().await;
    let start = |body: &'static str| {
        let client = server.client().clone();
        let headers = [("content-type", "application/json"), ("idempotency-key", "s")];
        async move { client.send("POST", "/sagas/parcel", &headers, body).await }
    };
    let first = start(r#"{"input": {"weight": 1.50, "to": ["a", "b"]}, "businessKey": "P-1"}"#).await;
    let again = start(r#"{"businessKey": "\u0050-1", "input": {"to":["a","b"],"weight":15e-1}}"#).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    for other in [
        r#"{"input": {"weight": 1.5, "to": ["b", "a"]}, "businessKey": "P-1"}"#,
        r#"{"input": {"weight": 1.5, "to": ["a", "b"]}, "businessKey": "P-2"}"#,
        r#"{"input": {"weight": 1.5, "to": ["a", "b"]}}"#,
        r#"{"input": {"weight": "1.5", "to": ["a", "b"]}, "businessKey": "P-1"}"#,
    ] {
        assert_eq!(start(other).await.refusal(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{other}");
    }
    assert_eq!(server.store.started(), 1);
    // An order too is the same only with the same business key.
    let start = |key: &'static str| {
        let (client, body) = (server.client().clone(), json!({"input": order(), "businessKey": key}));
        async move { client.post_with("/sagas/order-fulfilment", &[("idempotency-key", "o")], &body).await }
    };
    assert_eq!(start("B-1").await.header("idempotent-replayed"), None);
    assert_eq!(start("B-1").await.header("idempotent-replayed"), Some("true"));
    assert_eq!(start("B-2").await.refusal(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()));
}
