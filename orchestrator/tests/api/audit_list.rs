//! `GET /admin/audit`.

use serde_json::json;

use crate::support::{Json, NOBODY, Reply, Server, codes, order};

async fn list(server: &Server, query: &str) -> Vec<Json> {
    let reply = server.ops().get(&format!("/admin/audit{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["entries"].as_array().unwrap().clone()
}

async fn done(server: &Server, id: &str, verb: &str, reason: &str) -> Reply {
    server.ops().act(id, verb, &json!({"reason": reason})).await
}

#[tokio::test]
async fn who_did_what_to_which_saga() {
    let server = Server::start().await;
    assert_eq!(list(&server, "").await, [] as [Json; 0]);
    let (one, two) = (server.client().order_id(&order()).await, server.client().order_id(&order()).await);
    assert_eq!(done(&server, &one, "pause", "to see").await.status, 200);
    assert_eq!(done(&server, &two, "resume", "to see").await.status, 409);
    server.key("shop").act(&one, "cancel", &json!({"reason": "mine"})).await;
    server.client().act(NOBODY, "cancel", &json!({})).await;

    let all = list(&server, "").await;
    let short: Vec<Json> = all
        .iter()
        .map(|e| json!([e["actor"], e["action"], e["sagaId"], e["reason"], e["outcome"], e["code"]]))
        .collect();
    let expected = json!([
        [null, "cancel", NOBODY, null, "REFUSED", "UNAUTHENTICATED"],
        ["key:shop", "cancel", one, "mine", "REFUSED", "FORBIDDEN"],
        ["key:ops", "resume", two, "to see", "REFUSED", "ACTION_NOT_ALLOWED"],
        ["key:ops", "pause", one, "to see", "DONE", null],
    ]);
    assert_eq!(Json::from(short), expected);
    for entry in &all {
        assert!(uuid::Uuid::parse_str(entry["id"].as_str().unwrap()).is_ok());
        assert!(entry["at"].as_str().unwrap().parse::<saga_model::Micros>().is_ok(), "{entry}");
        assert_eq!(entry["detail"].as_str().is_some_and(|text| !text.is_empty()), entry["outcome"] == "REFUSED");
    }
    assert_eq!(list(&server, &format!("?sagaId={}", one.to_uppercase())).await, [all[1].clone(), all[3].clone()]);
    assert_eq!(list(&server, "?actor=key:ops").await, all[2..]);
    assert_eq!(list(&server, "?actor=ops").await, [] as [Json; 0]);
    assert_eq!(list(&server, "?action=cancel").await, all[..2]);
    assert_eq!(list(&server, &format!("?action=pause&actor=key%3Aops&sagaId={one}")).await, all[3..]);
    assert_eq!(list(&server, &format!("?sagaId={NOBODY}&action=pause")).await, [] as [Json; 0]);
}

#[tokio::test]
async fn page_by_page() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    for n in 0..7 {
        done(&server, &id, if n % 2 == 0 { "pause" } else { "resume" }, &n.to_string()).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.ops().get(&format!("/admin/audit?limit=3{cursor}")).await.body;
        seen.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["reason"].clone()));
        // What comes meanwhile is newer, and moves nothing.
        done(&server, &id, "cancel", "meanwhile").await;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn what_is_wrong_with_the_query() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    done(&server, &id, "pause", "x").await;
    done(&server, &id, "resume", "x").await;
    let page = server.ops().get("/admin/audit?limit=1").await.body;
    let cursor = page["nextCursor"].as_str().unwrap();
    for (query, wrong) in [
        ("sagaId=1", "sagaId INVALID_UUID"),
        ("actor=", "actor INVALID_VALUE"),
        ("action=", "action INVALID_VALUE"),
        ("action=%00", "action INVALID_VALUE"),
        ("limit=0", "limit INVALID_VALUE"),
        ("limit=201", "limit INVALID_VALUE"),
        ("limit=ten", "limit INVALID_VALUE"),
        ("cursor=", "cursor INVALID_VALUE"),
        ("cursor=x", "cursor INVALID_VALUE"),
        (&format!("cursor={}", &cursor[1..]), "cursor INVALID_VALUE"),
        (&format!("cursor={cursor}A"), "cursor INVALID_VALUE"),
        (&format!("cursor={NOBODY}"), "cursor INVALID_VALUE"),
        ("limit=1&limit=1", "limit DUPLICATE_KEY"),
        ("saga=1", "saga UNKNOWN_FIELD"),
    ] {
        let reply = server.ops().get(&format!("/admin/audit?{query}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{query}");
        let (name, code) = wrong.split_once(' ').unwrap();
        assert_eq!(codes(&reply), [(name.to_owned(), code.to_owned())], "{query}");
    }
    assert_eq!(list(&server, &format!("?limit=200&cursor={cursor}")).await.len(), 1);
    let elsewhere = server.ops().get(&format!("/admin/dead-letters?cursor={cursor}")).await;
    assert_eq!(elsewhere.refusal(), (400, "INVALID_PARAMETER".to_owned()), "a cursor belongs to its list");
}

#[tokio::test]
async fn for_admins_alone() {
    let server = Server::start().await;
    for path in ["/admin/audit", "/admin/dead-letters", &format!("/admin/dead-letters/{NOBODY}")] {
        assert_eq!(server.client().get(path).await.refusal(), (401, "UNAUTHENTICATED".to_owned()));
        assert_eq!(server.key("both").get(path).await.refusal(), (403, "FORBIDDEN".to_owned()));
        let posted = server.ops().post(path, &json!({"reason": "x"})).await;
        assert_eq!(posted.refusal(), (405, "METHOD_NOT_ALLOWED".to_owned()));
    }
    server.store.away();
    assert_eq!(server.ops().get("/admin/audit").await.refusal(), (503, "UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn a_request_that_nobody_answered_is_listed_as_it_was_told() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    server.store.deaf();
    let (reply, meanwhile) = tokio::join!(done(&server, &id, "cancel", "x"), list(&server, ""));
    assert_eq!(reply.refusal(), (503, "OWNER_UNAVAILABLE".to_owned()));
    assert_eq!(meanwhile, [] as [Json; 0], "a pending request is not listed");
    let entries = list(&server, "").await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!((&entry["outcome"], &entry["code"]), (&json!("REFUSED"), &json!("OWNER_UNAVAILABLE")));
    assert_eq!((&entry["detail"], &entry["sagaId"]), (&reply.body["detail"], &json!(id)));
}
