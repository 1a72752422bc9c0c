//! Who may do what.

use serde_json::json;

use crate::support::{Client, Options, Server, order};

async fn statuses(client: &Client, id: &str) -> [u16; 6] {
    [
        client.post("/orders", &order()).await.status,
        client.post("/sagas/parcel", &json!({"input": {}})).await.status,
        client.get(&format!("/orders/{id}")).await.status,
        client.get(&format!("/sagas/{id}/history")).await.status,
        client.get("/definitions").await.status,
        client.act(id, "pause", &json!({"reason": "to see"})).await.status,
    ]
}

#[tokio::test]
async fn open_scopes() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    assert_eq!(statuses(server.client(), &id).await, [200, 202, 200, 200, 200, 401]);
    // A key has its scopes and the open ones.
    assert_eq!(statuses(&server.key("eye"), &id).await, [200, 202, 200, 200, 200, 403]);
    assert_eq!(statuses(&server.key("shop"), &id).await, [200, 202, 200, 200, 200, 403]);
    assert_eq!(statuses(&server.ops(), &id).await, [200, 202, 200, 200, 200, 200]);
}

#[tokio::test]
async fn nothing_is_open() {
    let server = Server::with(Options { open_scopes: "", ..Options::default() }).await;
    let id = server.ops().order_id(&order()).await;
    assert_eq!(statuses(server.client(), &id).await, [401; 6]);
    assert_eq!(statuses(&server.key("eye"), &id).await, [403, 403, 200, 200, 200, 403]);
    assert_eq!(statuses(&server.key("shop"), &id).await, [200, 202, 403, 403, 403, 403]);
    assert_eq!(statuses(&server.key("both"), &id).await, [200, 202, 200, 200, 200, 403]);
    assert_eq!(statuses(&server.ops(), &id).await, [200, 202, 200, 200, 200, 200]);
    assert_eq!(server.store.started(), 1 + 2 + 2 + 2);
}

#[tokio::test]
async fn the_refusals() {
    let server = Server::with(Options { open_scopes: "read", ..Options::default() }).await;
    let reply = server.client().post("/orders", &order()).await;
    assert_eq!(reply.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let reply = server.key("eye").post("/orders", &order()).await;
    assert_eq!(reply.refusal(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(reply.header("www-authenticate"), None);
    assert_eq!(server.store.started(), 0);
}

#[tokio::test]
async fn a_key_that_is_unknown_is_refused_everywhere() {
    let server = Server::start().await;
    let stranger = server.client().with_key("guessed");
    for path in ["/definitions", "/nothing", "/orders/x"] {
        let reply = stranger.get(path).await;
        assert_eq!(reply.refusal(), (401, "UNAUTHENTICATED".to_owned()), "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(stranger.post("/orders", &order()).await.status, 401);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(stranger.get(path).await.status, 200, "{path} needs none");
    }
    for header in ["Basic b3BzOm9wcy1zZWNyZXQ=", "ops-secret", "Bearer"] {
        let reply = server.client().send("GET", "/definitions", &[("authorization", header)], "").await;
        assert_eq!(reply.status, 401, "{header}");
    }
}

#[tokio::test]
async fn the_actor_is_the_keys_name() {
    let server = Server::start().await;
    for (client, actor) in [(server.client().clone(), "key:anonymous"), (server.key("shop"), "key:shop")] {
        let id = client.order_id(&order()).await;
        let history = client.get(&format!("/sagas/{id}/history")).await.body;
        assert_eq!(history["events"][0]["actor"], actor);
    }
}
