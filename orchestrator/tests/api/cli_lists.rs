//! The operator's lists on the command line.

use serde_json::json;

use crate::cli::saga;
use crate::support::{NOBODY, Server, order};

/// Two dead letters, the newer one with a text that would move a cursor.
async fn letters(server: &Server) -> Vec<String> {
    server.bus.foreign(0, "first", Some(b"{"), &[("ce_id", "7")]);
    server.bus.foreign(0, "\u{1b}[2Jsecond", Some(b"\xff"), &[]);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(10));
    loop {
        pace.tick().await;
        let page = server.ops().get("/admin/dead-letters").await.body;
        let letters = page["deadLetters"].as_array().unwrap();
        if letters.len() == 2 {
            return letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
        }
        assert!(std::time::Instant::now() < until, "{page:#}");
    }
}

#[tokio::test]
async fn dead_letters() {
    let server = Server::start().await;
    let ids = letters(&server).await;

    let listed = saga(&server, &["dead-letters", "list"]).await;
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    let lines: Vec<&str> = listed.out.lines().collect();
    for part in ["ID", "STATUS", "CODE", "READ FROM", "DETAIL"] {
        assert!(lines[0].contains(part), "{}", listed.out);
    }
    for (line, id) in lines[1..].iter().zip(&ids) {
        assert!(line.starts_with(id) && line.contains("NEW     NOT_JSON  saga.replies/0@"), "{}", listed.out);
    }
    assert_eq!(lines[3..], ["2 of 2"]);
    let listed = saga(&server, &["dead-letters", "list", "--json"]).await;
    assert_eq!(listed.out.trim_end(), server.ops().get("/admin/dead-letters").await.text);

    let first = saga(&server, &["dead-letters", "list", "--limit", "1"]).await;
    let cursor = first.out.lines().last().unwrap().strip_prefix("the next page: --cursor ").unwrap();
    let args = ["dead-letters", "list", "--limit", "1", "--cursor", cursor, "--json"];
    let second = saga(&server, &args).await.json();
    assert_eq!((&second["deadLetters"][0]["id"], &second["nextCursor"]), (&json!(ids[1]), &json!(null)));

    let shown = saga(&server, &["dead-letters", "show", &ids[1]]).await;
    for part in [&ids[1], "NEW", "(NOT_JSON)", "header       ce_id: 7", "key          first", "value        {"] {
        assert!(shown.out.contains(part), "{part} in {}", shown.out);
    }
    let shown = saga(&server, &["dead-letters", "show", &ids[0]]).await;
    assert!(shown.out.contains("\\u{1b}[2Jsecond") && shown.out.contains("base64 /w=="), "{}", shown.out);
    assert!(!shown.out.contains('\u{1b}'), "nothing in a letter moves the cursor");

    let replayed = saga(&server, &["dead-letters", "replay", &ids[0], "--reason", "mended", "--json"]).await;
    assert_eq!((replayed.code, &replayed.json()["status"]), (0, &json!("REPLAYED")));
    let discarded = saga(&server, &["dead-letters", "discard", &ids[1], "--reason", "a test"]).await;
    assert!(discarded.code == 0 && discarded.out.contains("DISCARDED"), "{discarded:?}");
    let args = ["dead-letters", "list", "--status", "REPLAYED", "--topic", "saga.replies", "--code", "NOT_JSON"];
    let listed = saga(&server, &args).await;
    assert!(listed.out.contains(&ids[0]) && listed.out.ends_with("1 of 1\n"), "{}", listed.out);
    let reasons: Vec<_> = server.store.audit().into_iter().map(|record| record.reason.unwrap()).collect();
    assert_eq!(reasons, ["mended", "a test"]);
}

#[tokio::test]
async fn dead_letters_refused() {
    let server = Server::start().await;
    let ids = letters(&server).await;
    let refused = saga(&server, &["dead-letters", "show", NOBODY]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("DEAD_LETTER_NOT_FOUND") && refused.err.contains("dead-letters list"), "{refused:?}");
    saga(&server, &["dead-letters", "discard", &ids[0], "--reason", "x"]).await;
    let refused = saga(&server, &["dead-letters", "replay", &ids[0], "--reason", "x"]).await;
    assert!(refused.code == 1 && refused.err.contains("was discarded before"), "{refused:?}");
    assert!(refused.err.contains("`saga dead-letters show`") && !refused.err.contains("`saga show`"), "{refused:?}");
    let refused = saga(&server, &["dead-letters", "list", "--status", "OLD", "--json"]).await;
    assert_eq!((refused.code, &refused.json()["errors"][0]["parameter"]), (1, &json!("status")));
    let refused = saga(&server, &["dead-letters", "list", "--limit", "201"]).await;
    assert!(refused.code == 1 && refused.err.contains("limit: write a whole number"), "{refused:?}");
}

#[tokio::test]
async fn audit_log() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    for (verb, reason) in [("pause", "to see"), ("pause", "again\u{7}"), ("resume", "seen")] {
        server.ops().act(&id, verb, &json!({"reason": reason})).await;
    }
    let listed = saga(&server, &["audit-log"]).await;
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    let lines: Vec<&str> = listed.out.lines().collect();
    assert!(lines[0].starts_with("AT") && lines[0].contains("ACTOR    ACTION  SAGA"), "{}", listed.out);
    for (line, parts) in lines[1..].iter().zip([
        ["key:ops  resume", "DONE", "seen"],
        ["key:ops  pause", "REFUSED ACTION_NOT_ALLOWED", "again\\u{7}"],
        ["key:ops  pause", "DONE", "to see"],
    ]) {
        assert!(line.contains(&id) && parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
    }
    let args = ["audit-log", "--saga-id", &id, "--actor", "key:ops", "--action", "pause", "--limit", "1", "--json"];
    let page = saga(&server, &args).await.json();
    assert_eq!((&page["entries"][0]["reason"], page["entries"].as_array().unwrap().len()), (&json!("again\u{7}"), 1));
    let cursor = page["nextCursor"].as_str().unwrap();
    let page = saga(&server, &["audit-log", "--action", "pause", "--cursor", cursor, "--json"]).await.json();
    assert_eq!((&page["entries"][0]["reason"], &page["nextCursor"]), (&json!("to see"), &json!(null)));
    let refused = saga(&server, &["audit-log", "--cursor", "x"]).await;
    assert!(refused.code == 1 && refused.err.contains("cursor: write the nextCursor"), "{refused:?}");
}
