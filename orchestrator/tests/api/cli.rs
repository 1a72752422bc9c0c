//! The operator's commands, as processes.

use std::process::Stdio;

use saga_model::state::Outcome;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{INK, Json, NOBODY, PEN, Server, USER, order};

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// The one document on standard output.
    #[track_caller]
    pub fn json(&self) -> Json {
        assert!(self.out.ends_with('\n') && self.out.lines().count() == 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Runs `saga` with these arguments and variables, and nothing else.
async fn saga_with(env: &[(&str, &str)], input: &str, args: &[&str]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saga"));
    command.args(args).env_clear().envs(env.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read it may have ended.
    let _unread = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let done = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}

/// Runs `saga` against a server, with its admin key.
pub async fn saga(server: &Server, args: &[&str]) -> Done {
    saga_with(&[("SAGA_URL", server.client().base()), ("SAGA_API_KEY", "ops-secret")], "", args).await
}

#[tokio::test]
async fn show() {
    let server = Server::start().await;
    server.happy();
    let id = server.client().order_id(&order()).await;
    server.client().at_rest(&id).await;

    let shown = saga(&server, &["show", &id.to_uppercase(), "--json"]).await;
    let body = server.client().get(&format!("/sagas/{id}")).await;
    assert_eq!((shown.code, shown.out, shown.err.as_str()), (0, format!("{}\n", body.text), ""));

    let shown = saga(&server, &["show", &id]).await;
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    for part in
        [id.as_str(), "order-fulfilment v1", "COMPLETED", "reserve-inventory", "charge-payment", "notify-customer"]
    {
        assert!(shown.out.contains(part), "{part} in {}", shown.out);
    }
}

#[tokio::test]
async fn a_refusal() {
    let server = Server::start().await;
    let shown = saga(&server, &["show", NOBODY]).await;
    assert_eq!((shown.code, shown.out.as_str()), (1, ""));
    assert!(shown.err.starts_with("error: There is no saga") && shown.err.contains("SAGA_NOT_FOUND"), "{}", shown.err);
    let shown = saga(&server, &["show", NOBODY, "--json"]).await;
    assert_eq!((shown.code, &shown.json()["code"]), (1, &json!("SAGA_NOT_FOUND")));
    assert_eq!(shown.json(), server.client().get(&format!("/sagas/{NOBODY}")).await.body);
}

#[tokio::test]
async fn start() {
    let server = Server::start().await;
    let env = [("SAGA_URL", server.client().base())];
    let order = format!("{:#}\n", order());
    let args =
        ["start", "order-fulfilment", "--input", "-", "--business-key", "B 7", "--idempotency-key", "k", "--json"];
    let first = saga_with(&env, &order, &args).await;
    assert_eq!((first.code, &first.json()["businessKey"]), (0, &json!("B 7")), "{first:?}");
    let again = saga_with(&env, &order, &args).await;
    assert_eq!(again.json()["id"], first.json()["id"]);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, r#"{"weight": 1.50}"#).unwrap();
    let path = file.path().to_str().unwrap();
    let parcel = saga_with(&env, "", &["start", "parcel", "--input", path]).await;
    assert!(parcel.code == 0 && parcel.out.contains("parcel v3") && parcel.out.contains("RUNNING"), "{parcel:?}");
    let parcel = saga_with(&env, "", &["start", "parcel", "--input", path, "--json"]).await;
    assert!(parcel.out.contains(r#""input":{"weight": 1.50}"#), "to the letter: {}", parcel.out);

    // What is wrong with it is said place by place.
    let bad = format!(r#"{{"userId": "{USER}", "amount": -1, "items": {{"{PEN}": 1, "{INK}": "x"}}}}"#);
    let refused = saga_with(&env, &bad, &["start", "order-fulfilment", "--input", "-"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(
        refused.err.contains("/input/amount: ") && refused.err.contains(&format!("/input/items/{INK}: ")),
        "{}",
        refused.err
    );
    let refused = saga_with(&env, "{}", &["start", "nothing/../x y", "--input", "-", "--json"]).await;
    assert_eq!((refused.code, &refused.json()["code"]), (1, &json!("DEFINITION_NOT_FOUND")));
    // A body cannot be smuggled in behind an input.
    let smuggled = saga_with(&env, r#"{}, "businessKey": "x""#, &["start", "parcel", "--input", "-"]).await;
    assert_eq!(smuggled.code, 2, "{smuggled:?}");
    assert_eq!(server.store.started(), 3);
}

#[tokio::test]
async fn the_seven_verbs() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    for (verb, status) in [("pause", "PAUSED"), ("resume", "RUNNING"), ("cancel", "COMPENSATING")] {
        let done = saga(&server, &[verb, &id, "--reason", "to see", "--json"]).await;
        assert_eq!((done.code, &done.json()["status"]), (0, &json!(status)), "{done:?}");
    }
    let id = server.client().order_id(&order()).await;
    let done = saga(&server, &["compensate", &id, "--reason", "to see"]).await;
    assert!(done.code == 0 && done.out.contains("COMPENSATED_BY_OPERATOR"), "{done:?}");

    server.workers("notify-customer", Some((Outcome::Rejected, "NO_ADDRESS")));
    let mut stuck = Vec::new();
    for _ in 0..4 {
        let id = server.client().order_id(&order()).await;
        assert_eq!(server.client().at_rest(&id).await["status"], "STUCK");
        stuck.push(id);
    }
    let done = saga(&server, &["resolve", &stuck[0], "--reason", "by hand", "--json"]).await;
    assert_eq!(done.json()["status"], "RESOLVED");
    let done =
        saga(&server, &["skip", &stuck[1], "--step", "notify-customer", "--reason", "by telephone", "--json"]).await;
    assert_eq!(done.json()["status"], "COMPLETED");
    server.happy();
    let done =
        saga(&server, &["replay", &stuck[2], "--reason", "again", "--from-step", "notify-customer", "--json"]).await;
    assert_eq!((done.code, &done.json()["id"]), (0, &json!(stuck[2])));
    assert_eq!(server.client().at_rest(&stuck[2]).await["status"], "COMPLETED");
    let env = [("SAGA_URL", server.client().base()), ("SAGA_API_KEY", "ops-secret")];
    let mut other = order();
    other["amount"] = json!(7);
    let done = saga_with(&env, &other.to_string(), &["replay", &stuck[3], "--reason", "x", "--input", "-"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    server.client().at_rest(&stuck[3]).await;
    let told = server.bus.commands().into_iter().next_back().unwrap();
    assert!(told.payload.get().contains(r#""totalAmount":7,"#), "{}", told.payload.get());

    let reasons: Vec<_> = server.store.audit().into_iter().map(|record| record.reason.unwrap()).collect();
    assert_eq!(reasons, ["to see", "to see", "to see", "to see", "by hand", "by telephone", "again", "x"]);
}

#[tokio::test]
async fn a_verb_that_is_refused() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let url = [("SAGA_URL", server.client().base())];
    let args = ["resolve", id.as_str(), "--reason", "x"];
    let refused = saga_with(&url, "", &args).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("UNAUTHENTICATED") && refused.err.contains("SAGA_API_KEY"), "{}", refused.err);
    let empty = saga_with(&[url[0], ("SAGA_API_KEY", "")], "", &args).await;
    assert!(empty.err.contains("This needs a key"), "an empty key is none: {}", empty.err);
    let refused = saga_with(&[url[0], ("SAGA_API_KEY", "shop-secret")], "", &args).await;
    assert!(refused.code == 1 && refused.err.contains("FORBIDDEN"), "{}", refused.err);

    let refused = saga(&server, &args).await;
    assert!(refused.code == 1 && refused.err.contains("ACTION_NOT_ALLOWED"), "{}", refused.err);
    let refused = saga(&server, &["pause", &id, "--reason", " ", "--json"]).await;
    assert_eq!((refused.code, &refused.json()["errors"][0]["pointer"]), (1, &json!("/reason")));
    let refused = saga(&server, &["pause", &id, "--reason", "x", "--revision", "2", "--json"]).await;
    assert_eq!((refused.code, &refused.json()["code"]), (1, &json!("REVISION_MISMATCH")));
    assert_eq!(saga(&server, &["pause", &id, "--reason", "x", "--revision", "1"]).await.code, 0);
}

#[tokio::test]
async fn watch() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let args = ["watch", id.as_str()];
    let (watched, as_json) = tokio::join!(saga(&server, &args), async {
        let first = server.client().until(&id, |saga| saga["steps"][0]["status"] == "RUNNING").await;
        server.happy();
        // The first command was sent before anybody answered.
        let reserve = server.bus.commands().remove(0);
        server.bus.answer(&reserve, (Outcome::Succeeded, ""));
        let done = saga(&server, &["watch", first["id"].as_str().unwrap(), "--json"]).await;
        (done.code, done.json())
    });
    assert_eq!((watched.code, watched.err.as_str()), (0, ""));
    let lines: Vec<&str> = watched.out.lines().collect();
    for (line, parts) in lines.iter().zip([
        ["1 ", "SagaStarted", "(key:anonymous)"],
        ["2 ", "StepSucceeded  reserve-inventory", "(worker)"],
        ["3 ", "StepSucceeded  charge-payment", "(worker)"],
        ["4 ", "StepSucceeded  notify-customer", "(worker)"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
    }
    assert!(lines[4].contains(&id) && lines[4].contains("COMPLETED"), "the saga at rest: {}", watched.out);
    assert_eq!((as_json.0, &as_json.1["status"]), (0, &json!("COMPLETED")));

    let nobody = saga(&server, &["watch", NOBODY]).await;
    assert!(nobody.code == 1 && nobody.err.contains("SAGA_NOT_FOUND"), "{nobody:?}");
}

#[tokio::test]
async fn wrong_usage() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    for args in [
        &["show"][..],
        &["show", "4711"],
        &["show", &id, "--verbose"],
        &["cancel", &id],
        &["skip", &id, "--reason", "x"],
        &["start", "parcel"],
        &["start", "parcel", "--input", "/no/such/file"],
        &["start", "parcel", "--input", "-"],
        &["replay", &id, "--reason", "x", "--input", "/no/such/file"],
        &["pause", &id, "--reason", "x", "--revision", "first"],
        &["show", &id, "--saga-url", "localhost:8081"],
        &["show", &id, "--saga-url", "https://localhost:8081"],
        &["show", &id, "--saga-url", "http://"],
        &["show", &id, "--saga-api-key", "a\nb"],
        &["forget", &id],
        &["dead-letters", "forget", &id],
        &["dead-letters", "show", "4711"],
        &["dead-letters", "replay", &id],
        &["dead-letters", "list", "--limit", "many"],
        &["audit-log", "--saga-id", "4711"],
        &["audit-log", &id],
    ] {
        let done = saga(&server, args).await;
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{args:?}: {}", done.err);
        assert!(done.err.starts_with("error: "), "{args:?}: {}", done.err);
    }
    assert!(!saga(&server, &["show", &id, "--saga-api-key", "s3cret\n"]).await.err.contains("s3cret"));
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for args in [&["show", NOBODY][..], &["show", NOBODY, "--json"], &["watch", NOBODY]] {
        let done = saga_with(&[("SAGA_URL", &url)], "", args).await;
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{args:?}");
        assert!(
            done.err.contains(&url) && done.err.contains("saga dev") && done.err.contains("SAGA_URL"),
            "{}",
            done.err
        );
    }
}

#[tokio::test]
async fn somebody_else_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page = axum::Router::new().route("/sagas/{id}", axum::routing::get(|| async { "hello" }));
    tokio::spawn(async move { axum::serve(listener, page).await });
    let done = saga_with(&[("SAGA_URL", &url)], "", &["show", NOBODY, "--json"]).await;
    assert_eq!((done.code, done.out.as_str()), (1, "hello\n"), "a body that is no answer is no success");
    assert!(done.err.contains("does not answer as an orchestrator does"), "{}", done.err);
    for (args, part) in [
        (&["show", NOBODY][..], "--json prints it as it is"),
        (&["resume", NOBODY, "--reason", "x"], "does not answer as an orchestrator does"),
        (&["resume", NOBODY, "--reason", "x", "--json"], "does not answer as an orchestrator does"),
    ] {
        let done = saga_with(&[("SAGA_URL", &url)], "", args).await;
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{args:?}");
        assert!(done.err.contains(part), "{}", done.err);
    }
}

#[tokio::test]
async fn a_flag_wins() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let env = [("SAGA_URL", "http://127.0.0.1:1"), ("SAGA_API_KEY", "guessed")];
    let base = format!("{}/", server.client().base());
    let done = saga_with(&env, "", &["show", &id, "--saga-url", &base, "--saga-api-key", "ops-secret", "--json"]).await;
    assert_eq!((done.code, &done.json()["id"]), (0, &json!(id)));
}

#[tokio::test]
async fn help_shows_how() {
    for command in [
        "show",
        "watch",
        "start",
        "replay",
        "cancel",
        "compensate",
        "pause",
        "resume",
        "skip",
        "resolve",
        "audit-log",
        "dead-letters list",
        "dead-letters show",
        "dead-letters replay",
        "dead-letters discard",
    ] {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let done = saga_with(&[("SAGA_API_KEY", "s3cret")], "", &args).await;
        assert_eq!((done.code, done.err.as_str()), (0, ""));
        let example = format!("Examples:\n  saga {command}");
        assert!(done.out.contains(&example) && done.out.contains("SAGA_URL"), "{}", done.out);
        assert!(!done.out.contains("s3cret"), "{}", done.out);
    }
}
