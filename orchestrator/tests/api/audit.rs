//! Every POST and PUT under `/admin` leaves one record, whatever became of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::put;
use orchestrator::http::More;
use orchestrator::store::rows::{AdminRequest, RequestStatus};
use saga_model::ids::SagaId;
use serde_json::json;

use crate::support::{Client, NOBODY, Options, Server, order};

/// What is looked at of a record: action, actor, saga, reason, code, status.
type Row<'a> = (&'a str, Option<&'a str>, Option<String>, Option<&'a str>, Option<&'a str>, RequestStatus);

fn row(record: &AdminRequest) -> Row<'_> {
    let saga = record.saga.map(|saga| saga.to_string());
    (&record.action, record.actor.as_deref(), saga, record.reason.as_deref(), record.code.as_deref(), record.status)
}

/// Sends a request and answers the one record that it left.
async fn recorded(
    server: &Server,
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    status: u16,
) -> AdminRequest {
    let before = server.store.audit().len();
    let reply = client.send(method, path, headers, body.to_owned()).await;
    assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.text);
    let mut audit = server.store.audit();
    assert_eq!(audit.len(), before + 1, "{method} {path} {body}");
    let record = audit.pop().unwrap();
    if status >= 400 {
        assert_eq!((record.status, record.code.as_deref()), (RequestStatus::Refused, reply.body["code"].as_str()));
        assert!(record.detail.as_ref().is_some_and(|detail| !detail.is_empty()));
    } else {
        assert_eq!((record.status, record.code.as_deref()), (RequestStatus::Done, None));
    }
    record
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn done_and_refused() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let (pause, ops) = (format!("/admin/sagas/{id}/pause"), server.ops());
    let saga = || Some(id.clone());
    let good = r#"{"reason": "to see"}"#;
    use RequestStatus::{Done, Refused};
    let ops_did = |record: &AdminRequest, reason: Option<&str>, code: Option<&str>, status| {
        assert_eq!(row(record), ("pause", Some("key:ops"), saga(), reason, code, status));
    };

    let record = recorded(&server, &ops, "POST", &pause, &[JSON], good, 200).await;
    ops_did(&record, Some("to see"), None, Done);
    let record = recorded(&server, &ops, "POST", &pause, &[JSON], good, 409).await;
    ops_did(&record, Some("to see"), Some("ACTION_NOT_ALLOWED"), Refused);
    let record = recorded(&server, &ops, "POST", &pause, &[JSON, ("if-match", "\"1\"")], good, 412).await;
    ops_did(&record, Some("to see"), Some("REVISION_MISMATCH"), Refused);
    let record = recorded(&server, &ops, "POST", &pause, &[JSON, ("if-match", "1")], good, 400).await;
    ops_did(&record, Some("to see"), Some("INVALID_PARAMETER"), Refused);

    // A reason that is of no use is none.
    for body in [r#"{"reason": " "}"#, r#"{"reason": 1}"#, "{}", "[]", r#"{"reason": "a\u0000"}"#] {
        let record = recorded(&server, &ops, "POST", &pause, &[JSON], body, 422).await;
        ops_did(&record, None, Some("VALIDATION_FAILED"), Refused);
    }
    let record = recorded(&server, &ops, "POST", &pause, &[JSON], r#"{"reason": "so", "why": 1}"#, 422).await;
    ops_did(&record, Some("so"), Some("VALIDATION_FAILED"), Refused);
    let record = recorded(&server, &ops, "POST", &pause, &[JSON], "{", 400).await;
    ops_did(&record, None, Some("MALFORMED_JSON"), Refused);
    let record = recorded(&server, &ops, "POST", &pause, &[], good, 415).await;
    ops_did(&record, None, Some("UNSUPPORTED_MEDIA_TYPE"), Refused);
    let record = recorded(&server, &ops, "POST", &pause, &[JSON], &" ".repeat(65_537), 413).await;
    ops_did(&record, None, Some("PAYLOAD_TOO_LARGE"), Refused);
    // A body whose length nobody said.
    let head = format!(
        "POST {pause} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ops-secret\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n",
        65_537
    );
    let answer = ops.raw(&[head.as_bytes(), &[b' '; 65_537], b"\r\n0\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    ops_did(server.store.audit().last().unwrap(), None, Some("PAYLOAD_TOO_LARGE"), Refused);
    let record = recorded(&server, &ops, "PUT", &pause, &[JSON], good, 405).await;
    ops_did(&record, Some("to see"), Some("METHOD_NOT_ALLOWED"), Refused);
}

#[tokio::test]
async fn who_it_was() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let (path, good) = (format!("/admin/sagas/{id}/cancel"), r#"{"reason": "to see"}"#);
    use RequestStatus::Refused;
    let (saga, reason) = (Some(id.clone()), Some("to see"));

    let record = recorded(&server, server.client(), "POST", &path, &[JSON], good, 401).await;
    assert_eq!(row(&record), ("cancel", None, saga.clone(), reason, Some("UNAUTHENTICATED"), Refused));
    let stranger = server.client().with_key("guessed");
    let record = recorded(&server, &stranger, "POST", &path, &[JSON], good, 401).await;
    assert_eq!(row(&record), ("cancel", None, saga.clone(), reason, Some("UNAUTHENTICATED"), Refused));
    let record = recorded(&server, &server.key("shop"), "POST", &path, &[JSON], good, 403).await;
    assert_eq!(row(&record), ("cancel", Some("key:shop"), saga.clone(), reason, Some("FORBIDDEN"), Refused));
    let record = recorded(&server, server.client(), "POST", &path, &[], "nonsense", 401).await;
    assert_eq!(row(&record), ("cancel", None, saga, None, Some("UNAUTHENTICATED"), Refused));
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["revision"], 1);
}

#[tokio::test]
async fn what_is_not_there() {
    let server = Server::start().await;
    let (ops, good) = (server.ops(), r#"{"reason": "to see"}"#);
    use RequestStatus::Refused;
    let nobody = Some(NOBODY.parse::<SagaId>().unwrap().to_string());
    let (actor, reason) = (Some("key:ops"), Some("to see"));
    for (path, action, saga, status, code) in [
        (format!("/admin/sagas/{NOBODY}/cancel"), "cancel", nobody.clone(), 404, "SAGA_NOT_FOUND"),
        (format!("/admin/sagas/{NOBODY}/abort"), "abort", nobody, 404, "NOT_FOUND"),
        ("/admin/sagas/1/cancel".to_owned(), "cancel", None, 400, "INVALID_PARAMETER"),
        ("/admin/nothing".to_owned(), "nothing", None, 404, "NOT_FOUND"),
        ("/admin".to_owned(), "admin", None, 404, "NOT_FOUND"),
        ("/admin/".to_owned(), "admin", None, 404, "NOT_FOUND"),
    ] {
        let record = recorded(&server, &ops, "POST", &path, &[JSON], good, status).await;
        assert_eq!(row(&record), (action, actor, saga.clone(), reason, Some(code), Refused), "{path}");
        recorded(
            &server,
            &ops,
            "PUT",
            &path,
            &[JSON],
            good,
            if status == 400 || code == "SAGA_NOT_FOUND" { 405 } else { 404 },
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_no_operators_doing_is_not_recorded() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let ops = server.ops();
    for (method, path) in [
        ("GET", format!("/admin/sagas/{id}/cancel")),
        ("DELETE", format!("/admin/sagas/{id}/cancel")),
        ("GET", "/admin/nothing".to_owned()),
        ("POST", "/orders".to_owned()),
        ("POST", "/administrators".to_owned()),
        ("PUT", format!("/sagas/{id}")),
    ] {
        ops.send(method, &path, &[JSON], "{}").await;
    }
    assert_eq!(server.store.audit(), []);
}

#[tokio::test]
async fn records_are_in_order() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    for verb in ["resume", "pause", "pause", "resume"] {
        server.ops().act(&id, verb, &json!({"reason": verb})).await;
    }
    server.client().act(&id, "resume", &json!({"reason": "x"})).await;
    let audit = server.store.audit();
    assert!(audit.is_sorted_by_key(|record| record.id) && audit.is_sorted_by_key(|record| record.at));
    assert!(audit.iter().all(|record| record.id.get_version_num() == 7));
}

static SEEN_BY_OTHERS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn what_others_record_is_left_to_them() {
    let routes = Router::new().route("/admin/inventory/{sku}", put(|| async { "set" }));
    let count = async |request: Request, next: Next| {
        SEEN_BY_OTHERS.fetch_add(1, Ordering::SeqCst);
        next.run(request).await
    };
    let more = More {
        routes,
        records: |path| path.starts_with("/admin/inventory/"),
        audit: Box::new(move |routes| routes.layer(from_fn(count))),
    };
    let server = Server::with(Options { more, ..Options::default() }).await;
    let path = "/admin/inventory/1";
    let body = r#"{"reason": "to see"}"#;
    assert_eq!(server.client().send("PUT", path, &[JSON], body).await.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(server.ops().send("PUT", path, &[JSON], body).await.text, "set");
    assert_eq!(server.ops().send("POST", path, &[JSON], body).await.refusal().0, 405);
    assert_eq!((server.store.audit().len(), SEEN_BY_OTHERS.load(Ordering::SeqCst)), (0, 3), "around the door");
    // All else under /admin stays ours.
    recorded(&server, &server.ops(), "POST", "/admin/inventory", &[JSON], body, 404).await;
}
