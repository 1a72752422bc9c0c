//! `/admin/dead-letters`: messages that changed nothing, and what operators do about them.

use futures::future::join_all;
use orchestrator::bus::Undelivered;
use serde_json::json;

use crate::support::{Json, NOBODY, Server, codes, order};

/// The letters, once there are so many.
async fn letters(server: &Server, count: u64) -> Vec<Json> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(10));
    loop {
        pace.tick().await;
        let page = server.ops().get("/admin/dead-letters").await.body;
        if page["total"] == count {
            return page["deadLetters"].as_array().unwrap().clone();
        }
        assert!(std::time::Instant::now() < until, "{page:#}");
    }
}

/// A message that nobody can read, as a dead letter.
async fn one(server: &Server) -> (String, Json) {
    server.bus.foreign(2, "some-key", Some(b"\xffgarbage"), &[("ce_id", "7"), ("dl_code", "older")]);
    let letter = letters(server, 1).await.remove(0);
    (letter["id"].as_str().unwrap().to_owned(), letter)
}

fn path(id: &str, verb: &str) -> String {
    format!("/admin/dead-letters/{id}/{verb}")
}

fn why() -> Json {
    json!({"reason": "the worker is mended"})
}

#[tokio::test]
async fn what_a_letter_tells() {
    let server = Server::start().await;
    let (id, letter) = one(&server).await;
    let expected = json!({"id": id, "topic": "saga.replies", "partition": 2, "offset": 0, "key": "some-key",
        "valueBase64": "/2dhcmJhZ2U=", "code": "NOT_JSON", "detail": letter["detail"], "sagaId": null,
        "at": letter["at"], "status": "NEW"});
    assert_eq!(letter, expected);
    assert!(letter["at"].as_str().unwrap().parse::<saga_model::Micros>().is_ok());
    let shown = server.ops().get(&format!("/admin/dead-letters/{}", id.to_uppercase())).await;
    let headers = json!([{"name": "ce_id", "valueBase64": "Nw=="}, {"name": "dl_code", "valueBase64": "b2xkZXI="}]);
    assert_eq!((shown.status, &shown.body["headers"], &shown.body["id"]), (200, &headers, &json!(id)));

    // Messages without a value; one that names its saga.
    server.bus.foreign(1, "k", None, &[]);
    server.bus.foreign(1, &NOBODY.to_uppercase(), None, &[]);
    let saga = server.client().order_id(&order()).await;
    let forged = json!({"sagaId": saga, "step": "reserve-inventory", "kind": "ACTION", "round": 1, "attempt": 1,
        "token": "guessed", "outcome": "SUCCEEDED"});
    let partition = saga.parse::<saga_model::SagaId>().unwrap().slot().get() % 4;
    server.bus.foreign(u16::from(partition), &saga, Some(forged.to_string().as_bytes()), &[]);
    // One that names a saga that there is not.
    let nobodys = json!({"sagaId": NOBODY, "step": "reserve-inventory", "kind": "ACTION", "round": 1, "attempt": 1,
        "token": "guessed", "outcome": "SUCCEEDED"});
    let partition = NOBODY.parse::<saga_model::SagaId>().unwrap().slot().get() % 4;
    server.bus.foreign(u16::from(partition), &saga, Some(nobodys.to_string().as_bytes()), &[]);
    let all = letters(&server, 5).await;
    let empty = all.iter().find(|letter| letter["partition"] == 1 && letter["key"] == "k").unwrap();
    assert_eq!((&empty["valueBase64"], &empty["code"]), (&Json::Null, &json!("NOT_JSON")));
    assert_eq!(empty["sagaId"], Json::Null);
    let keyed = all.iter().find(|letter| letter["key"] == NOBODY.to_uppercase()).unwrap();
    assert_eq!((&keyed["sagaId"], &keyed["code"]), (&json!(NOBODY), &json!("NOT_JSON")), "its key is an id");
    let unknown = all.iter().find(|letter| letter["code"] == "UNKNOWN_SAGA").unwrap();
    assert_eq!((&unknown["sagaId"], &unknown["key"]), (&json!(NOBODY), &json!(saga)), "what it names comes first");
    let forged = all.iter().find(|letter| letter["code"] == "WRONG_TOKEN").unwrap();
    assert_eq!((&forged["sagaId"], &forged["key"]), (&json!(saga), &json!(saga)));
}

#[tokio::test]
async fn found_and_page_by_page() {
    let server = Server::start().await;
    let (id, _) = one(&server).await;
    for n in 0..6 {
        let value: &[u8] = if n % 2 == 0 { b"{" } else { b"{}" };
        server.bus.foreign(0, &n.to_string(), Some(value), &[]);
        letters(&server, n + 2).await;
    }
    assert_eq!(server.ops().post(&path(&id, "discard"), &why()).await.status, 200);
    let keys = async |query: &str| {
        let page = server.ops().get(&format!("/admin/dead-letters?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let letters = page.body["deadLetters"].as_array().unwrap().clone();
        (letters.iter().map(|letter| letter["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), page.body)
    };
    let (all, page) = keys("").await;
    assert_eq!((all.len(), &page["total"], &page["nextCursor"]), (7, &json!(7), &Json::Null));
    assert_eq!(keys("status=DISCARDED").await.0, ["some-key"]);
    assert_eq!(keys("status=REPLAYED").await.0, [] as [&str; 0]);
    let (missing, page) = keys("status=NEW&code=MISSING_FIELD&topic=saga.replies").await;
    assert_eq!((missing, &page["total"]), (["5", "3", "1"].map(str::to_owned).to_vec(), &json!(3)));
    assert_eq!(keys("topic=payment.commands").await.0, [] as [&str; 0]);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (page, body) = keys(&format!("limit=2&status=NEW{cursor}")).await;
        assert_eq!(body["total"], 6, "all that match, on every page");
        seen.extend(page);
        match body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1", "0"]);
    for (query, name) in [
        ("status=new", "status"),
        ("status=NEW,REPLAYED", "status"),
        ("topic=", "topic"),
        ("code=", "code"),
        ("limit=201", "limit"),
        ("cursor=AAAA", "cursor"),
        ("sagaId=1", "sagaId"),
    ] {
        let reply = server.ops().get(&format!("/admin/dead-letters?{query}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{query}");
        assert_eq!(codes(&reply)[0].0, name, "{query}");
    }
}

#[tokio::test]
async fn replayed_once() {
    let server = Server::start().await;
    let (id, letter) = one(&server).await;
    let replayed = server.ops().post(&path(&id, "replay"), &why()).await;
    let mut expected = letter;
    expected["status"] = json!("REPLAYED");
    assert_eq!((replayed.status, &replayed.body), (200, &expected), "{}", replayed.text);
    // As it came: to its topic, by its key, without what was said of it since.
    let sent = server.bus.singles();
    assert_eq!(sent.len(), 1);
    assert_eq!((&*sent[0].topic, sent[0].key.as_deref()), ("saga.replies", Some(&b"some-key"[..])));
    assert_eq!(sent[0].value.as_deref(), Some(&b"\xffgarbage"[..]));
    assert!(sent[0].headers.iter().eq([("ce_id", &b"7"[..])]), "{:?}", sent[0].headers);
    for verb in ["replay", "discard"] {
        let again = server.ops().post(&path(&id, verb), &why()).await;
        assert_eq!(again.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
        assert!(again.body["detail"].as_str().unwrap().contains("was replayed before"), "{}", again.text);
    }
    assert_eq!(server.bus.singles().len(), 1);
    assert_eq!(server.ops().get(&format!("/admin/dead-letters/{id}")).await.body["status"], "REPLAYED");
}

#[tokio::test]
async fn discarded_once() {
    let server = Server::start().await;
    let (id, _) = one(&server).await;
    let discarded = server.ops().post(&path(&id, "discard"), &why()).await;
    assert_eq!((discarded.status, &discarded.body["status"]), (200, &json!("DISCARDED")));
    for verb in ["replay", "discard"] {
        let again = server.ops().post(&path(&id, verb), &why()).await;
        assert_eq!(again.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
    }
    assert!(server.bus.singles().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn of_many_replays_at_once_one_sends() {
    let server = Server::start().await;
    let (id, _) = one(&server).await;
    let ops = server.ops();
    let tries = (0..30).map(|n| {
        let (ops, path) = (ops.clone(), path(&id, if n % 5 == 4 { "discard" } else { "replay" }));
        async move { ops.post(&path, &why()).await }
    });
    let replies = join_all(tries).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    let refused = replies.iter().filter(|reply| reply.status == 409).count();
    assert_eq!((done, refused), (1, 29));
    assert!(server.bus.singles().len() <= 1);
    assert_eq!(server.store.audit().len(), 30, "each has its record");
}

#[tokio::test]
async fn while_a_replay_is_on_its_way_nobody_else_is_at_it() {
    let server = Server::start().await;
    let (id, _) = one(&server).await;
    server.bus.delivers(|| None);
    let (ops, replay) = (server.ops(), path(&id, "replay"));
    let waiting = tokio::spawn(async move { ops.post(&replay, &why()).await });
    server.bus.single_has_come().await;
    for verb in ["replay", "discard"] {
        let other = server.ops().post(&path(&id, verb), &why()).await;
        assert_eq!(other.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
        assert!(other.body["detail"].as_str().unwrap().contains("Somebody else"), "{}", other.text);
    }
    assert_eq!(server.ops().get(&format!("/admin/dead-letters/{id}")).await.body["status"], "NEW");
    assert_eq!(server.bus.singles().len(), 1);
    waiting.abort();
}

#[tokio::test]
async fn a_broker_that_is_away_changes_nothing() {
    let server = Server::start().await;
    let (id, letter) = one(&server).await;
    server.bus.delivers(|| Some(Err(Undelivered::Away("timed out".to_owned()))));
    let reply = server.ops().post(&path(&id, "replay"), &why()).await;
    assert_eq!(reply.refusal(), (503, "UNAVAILABLE".to_owned()));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(letters(&server, 1).await, [letter]);
    let audit = server.store.audit();
    assert_eq!((audit.len(), audit[0].code.as_deref()), (1, Some("UNAVAILABLE")));
    server.bus.delivers(|| Some(Ok(())));
    assert_eq!(server.ops().post(&path(&id, "replay"), &why()).await.status, 200, "it may be tried again at once");
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_can_be_discarded() {
    let server = Server::start().await;
    let (id, letter) = one(&server).await;
    server.bus.delivers(|| Some(Err(Undelivered::Refused("Message size too large".to_owned()))));
    let reply = server.ops().post(&path(&id, "replay"), &why()).await;
    assert_eq!(reply.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains("too large") && detail.contains("discarded"), "{detail}");
    assert_eq!(letters(&server, 1).await, [letter]);
    assert_eq!(server.ops().post(&path(&id, "discard"), &why()).await.status, 200);
}

#[tokio::test]
async fn refusals_and_their_records() {
    let server = Server::start().await;
    let saga = server.client().order_id(&order()).await;
    server.bus.foreign(0, &saga, Some(b"{"), &[]);
    let id = letters(&server, 1).await[0]["id"].as_str().unwrap().to_owned();
    let ops = server.ops();
    let long = "é".repeat(1_001);
    for (path, body, status, code) in [
        (path(NOBODY, "replay"), why(), 404, "DEAD_LETTER_NOT_FOUND"),
        (path(NOBODY, "discard"), why(), 404, "DEAD_LETTER_NOT_FOUND"),
        (path("1", "replay"), why(), 400, "INVALID_PARAMETER"),
        (format!("{}?x=1", path(&id, "replay")), why(), 400, "INVALID_PARAMETER"),
        (path(&id, "return"), why(), 404, "NOT_FOUND"),
        (path(&id, "replay"), json!({}), 422, "VALIDATION_FAILED"),
        (path(&id, "replay"), json!([]), 422, "VALIDATION_FAILED"),
        (path(&id, "replay"), json!({"reason": " "}), 422, "VALIDATION_FAILED"),
        (path(&id, "discard"), json!({"reason": long}), 422, "VALIDATION_FAILED"),
        (path(&id, "discard"), json!({"reason": "x", "input": {}}), 422, "VALIDATION_FAILED"),
    ] {
        let before = server.store.audit().len();
        let reply = ops.post(&path, &body).await;
        assert_eq!(reply.refusal(), (status, code.to_owned()), "{path} {body}");
        let audit = server.store.audit();
        assert_eq!(audit.len(), before + 1, "{path} {body}");
        assert_eq!(audit[before].code.as_deref(), Some(code));
    }
    assert_eq!(server.client().post(&path(&id, "discard"), &why()).await.refusal().0, 401);
    assert_eq!(server.key("both").post(&path(&id, "discard"), &why()).await.refusal().0, 403);
    assert_eq!(server.store.audit().len(), 12);
    assert_eq!(letters(&server, 1).await[0]["status"], "NEW", "nothing was done");
    server.store.away();
    assert_eq!(ops.post(&path(&id, "discard"), &why()).await.refusal(), (503, "UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn the_record_names_the_letter_and_its_saga() {
    let server = Server::start().await;
    let saga = server.client().order_id(&order()).await;
    let forged = json!({"sagaId": saga, "step": "reserve-inventory", "kind": "ACTION", "round": 1, "attempt": 1,
        "token": "guessed", "outcome": "SUCCEEDED"});
    let partition = saga.parse::<saga_model::SagaId>().unwrap().slot().get() % 4;
    server.bus.foreign(u16::from(partition), &saga, Some(forged.to_string().as_bytes()), &[]);
    let id = letters(&server, 1).await[0]["id"].as_str().unwrap().to_owned();
    for status in [200, 409] {
        assert_eq!(server.ops().post(&path(&id, "replay"), &why()).await.status, status);
    }
    let entries = server.ops().get(&format!("/admin/audit?sagaId={saga}")).await.body["entries"].clone();
    let short: Vec<Json> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|e| json!([e["actor"], e["action"], e["reason"], e["outcome"], e["code"]]))
        .collect();
    let reason = &why()["reason"];
    assert_eq!(
        Json::from(short),
        json!([
            ["key:ops", "replay", reason, "REFUSED", "ACTION_NOT_ALLOWED"],
            ["key:ops", "replay", reason, "DONE", null],
        ])
    );
    assert!(entries[0]["detail"].as_str().unwrap().contains(&id), "{entries}");
    assert!(entries[1]["detail"].as_str().unwrap().contains(&id), "{entries}");
}
