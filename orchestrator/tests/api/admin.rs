//! What operators do to sagas.

use futures::future::join_all;
use saga_model::state::{Kind, Outcome};
use serde_json::json;

use crate::support::{Json, NOBODY, Server, Wrong, codes, order, order_with};

const VERBS: [&str; 7] = ["replay", "cancel", "compensate", "pause", "resume", "skip", "resolve"];

fn why() -> Json {
    json!({"reason": "the customer called"})
}

/// A body that the verb takes.
fn body_of(verb: &str) -> Json {
    match verb {
        "skip" => json!({"reason": "the customer called", "step": "notify-customer"}),
        _ => why(),
    }
}

async fn stuck(server: &Server) -> String {
    server.workers("notify-customer", Some((Outcome::Rejected, "NO_ADDRESS")));
    let id = server.client().order_id(&order()).await;
    assert_eq!(server.client().at_rest(&id).await["status"], "STUCK");
    id
}

#[tokio::test]
async fn the_saga_after_the_transition() {
    let server = Server::start().await;
    let ops = server.ops();
    let id = server.client().order_id(&order()).await;
    let paused = ops.act(&id, "pause", &why()).await;
    assert_eq!((paused.status, &paused.body["status"], &paused.body["revision"]), (200, &json!("PAUSED"), &json!(2)));
    assert_eq!(paused.header("etag"), Some("\"2\""));
    let shown = server.client().get(&format!("/sagas/{id}")).await;
    assert_eq!(shown.text, paused.text, "a 200 is the committed transition");
    assert_eq!(ops.act(&id, "resume", &why()).await.body["status"], "RUNNING");
    let cancelled = ops.act(&id, "cancel", &why()).await;
    assert_eq!(cancelled.body["status"], "COMPENSATING");
    assert_eq!(cancelled.body["failure"]["code"], "CANCELLED_BY_OPERATOR");
    let history = server.client().get(&format!("/sagas/{id}/history")).await.body;
    let last = history["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["type"], &last["actor"]), (&json!("OperatorActed"), &json!("key:ops")));
    assert_eq!((&last["data"]["verb"], &last["data"]["reason"]), (&json!("cancel"), &json!("the customer called")));
}

#[tokio::test]
async fn compensate_after_the_pivot() {
    let server = Server::start().await;
    server.bus.workers(|command| match (command.step.as_str(), command.round) {
        ("notify-customer", 1) => None,
        _ => Some((Outcome::Succeeded, "")),
    });
    let id = server.client().order_id(&order()).await;
    server.client().until(&id, |saga| saga["steps"][1]["status"] == "SUCCEEDED").await;
    assert_eq!(server.ops().act(&id, "cancel", &why()).await.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
    let turned = server.ops().act(&id, "compensate", &why()).await;
    assert_eq!((turned.status, &turned.body["failure"]["code"]), (200, &json!("COMPENSATED_BY_OPERATOR")));
    assert_eq!(server.client().at_rest(&id).await["status"], "COMPENSATED");
    let order = server.client().get(&format!("/orders/{id}")).await.body;
    assert_eq!(
        (&order["status"], &order["failureReason"]["code"]),
        (&json!("CANCELLED"), &json!("COMPENSATED_BY_OPERATOR"))
    );
}

#[tokio::test]
async fn replay_skip_and_resolve_of_a_stuck_saga() {
    let server = Server::start().await;
    let ops = server.ops();

    let id = stuck(&server).await;
    server.happy();
    let replayed = ops.act(&id, "replay", &json!({"reason": "x", "fromStep": "notify-customer"})).await;
    assert_eq!(replayed.status, 200, "{}", replayed.text);
    let saga = server.client().at_rest(&id).await;
    assert_eq!((&saga["status"], &saga["steps"][2]["round"]), (&json!("COMPLETED"), &json!(2)));

    let id = stuck(&server).await;
    let skipped = ops.act(&id, "skip", &body_of("skip")).await;
    assert_eq!((skipped.status, &skipped.body["status"]), (200, &json!("COMPLETED")), "{}", skipped.text);
    assert_eq!(skipped.body["steps"][2]["status"], "SKIPPED");

    let id = stuck(&server).await;
    let resolved = ops.act(&id, "resolve", &why()).await;
    assert_eq!((resolved.status, &resolved.body["status"]), (200, &json!("RESOLVED")));
    let order = server.client().get(&format!("/orders/{id}")).await.body;
    assert_eq!((&order["status"], &order["failureReason"]), (&json!("CONFIRMED"), &Json::Null));
}

/// The new and the old input of each replay, as the history shows them.
async fn inputs(server: &Server, saga: &str) -> Vec<(Json, Json)> {
    let events = server.client().get(&format!("/sagas/{saga}/history")).await.body["events"].clone();
    let data = events.as_array().unwrap().iter().map(|event| &event["data"]);
    let replays = data.filter(|data| data.get("input").is_some() || data.get("previousInput").is_some());
    replays.map(|data| (data["input"].clone(), data["previousInput"].clone())).collect()
}

#[tokio::test]
async fn replay_with_another_input() {
    let server = Server::start().await;
    let id = stuck(&server).await;
    server.happy();
    let body = json!({"reason": "the right address", "input": order_with(json!({"amount": "7.50"}))});
    assert_eq!(server.ops().act(&id, "replay", &body).await.status, 200);
    server.client().at_rest(&id).await;
    let told = server.bus.commands().into_iter().next_back().unwrap();
    let payload: Json = serde_json::from_str(told.payload.get()).unwrap();
    assert_eq!((told.round, &payload["totalAmount"]), (2, &json!(7.5)));
    // The input that is replaced is shown, the saga's own too.
    let input = server.client().get(&format!("/sagas/{id}")).await.body["input"].clone();
    let shown = inputs(&server, &id).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!((&shown[0].0["amount"], &shown[0].1), (&json!(7.5), &input));

    // What may have had an effect is not asked otherwise.
    server.workers("notify-customer", Some((Outcome::Unknown, "TIMEOUT")));
    let id = server.client().order_id(&order()).await;
    assert_eq!(server.client().at_rest(&id).await["stuck"]["cause"], "EXHAUSTED");
    assert_eq!(server.ops().act(&id, "replay", &body).await.refusal(), (409, "EFFECT_MAY_STAND".to_owned()));
    // While compensating, neither.
    server.bus.workers(|command| match (command.step.as_str(), command.kind) {
        ("charge-payment", _) => Some((Outcome::Rejected, "PAYMENT_DECLINED")),
        (_, Kind::Compensate) => Some((Outcome::Rejected, "NO")),
        _ => Some((Outcome::Succeeded, "")),
    });
    let id = server.client().order_id(&order()).await;
    assert_eq!(server.client().at_rest(&id).await["stuck"]["cause"], "UNDO_REFUSED");
    assert_eq!(server.ops().act(&id, "replay", &body).await.refusal(), (409, "EFFECT_MAY_STAND".to_owned()));
}

#[tokio::test]
async fn what_is_not_available_is_refused() {
    let server = Server::start().await;
    let running = server.client().order_id(&order()).await;
    let stuck = stuck(&server).await;
    server.happy();
    let done = server.client().order_id(&order()).await;
    server.client().at_rest(&done).await;
    for id in [running, stuck, done] {
        let before = server.client().get(&format!("/sagas/{id}")).await;
        let available = before.body["availableActions"].as_array().unwrap().clone();
        for verb in VERBS.iter().filter(|verb| !available.contains(&json!(verb))) {
            let reply = server.ops().act(&id, verb, &body_of(verb)).await;
            assert_eq!(reply.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()), "{verb} of {}", before.body["status"]);
        }
        let after = server.client().get(&format!("/sagas/{id}")).await;
        assert_eq!(
            (&after.body["revision"], &after.body["status"]),
            (&before.body["revision"], &before.body["status"])
        );
    }
}

#[tokio::test]
async fn one_of_fifty_cancels() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let ops = server.ops();
    let replies = join_all((0..50).map(|_| {
        let (ops, id) = (ops.clone(), id.clone());
        async move { ops.act(&id, "cancel", &why()).await }
    }))
    .await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    let refused =
        replies.iter().filter(|reply| reply.status == 409 && reply.refusal().1 == "ACTION_NOT_ALLOWED").count();
    assert_eq!((done, refused), (1, 49));
    assert_eq!(server.store.audit().len(), 50);
}

#[tokio::test]
async fn steps_that_are_not_in_hand() {
    let server = Server::start().await;
    let id = stuck(&server).await;
    let act = |verb: &'static str, body: Json| {
        let (ops, id) = (server.ops(), id.clone());
        async move { ops.act(&id, verb, &body).await }
    };
    let reply = act("replay", json!({"reason": "x", "fromStep": "charge-payment"})).await;
    assert_eq!(reply.refusal(), (422, "STEP_NOT_REPLAYABLE".to_owned()));
    let reply = act("replay", json!({"reason": "x", "fromStep": "no-such-step"})).await;
    assert_eq!(reply.refusal(), (422, "STEP_NOT_REPLAYABLE".to_owned()));
    let reply = act("skip", json!({"reason": "x", "step": "charge-payment"})).await;
    assert_eq!(reply.refusal(), (409, "ACTION_NOT_ALLOWED".to_owned()));
    let reply = act("skip", json!({"reason": "x", "step": "no-such-step"})).await;
    assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(codes(&reply), [("/step".to_owned(), "INVALID_VALUE".to_owned())]);
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["status"], "STUCK");
}

#[tokio::test]
async fn only_at_this_revision() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let pause = |tags: &'static [&'static str]| {
        let (ops, path) = (server.ops(), format!("/admin/sagas/{id}/pause"));
        async move {
            let headers: Vec<_> = tags.iter().map(|tag| ("if-match", *tag)).collect();
            ops.post_with(&path, &headers, &why()).await
        }
    };
    for tag in [&["\"2\""], &["\"0\""], &["\"4294967297\""], &["\"99999999999999999999999\""]] {
        assert_eq!(pause(tag).await.refusal(), (412, "REVISION_MISMATCH".to_owned()), "{tag:?}");
    }
    let fits = |revision: u32| i32::try_from(revision).is_ok();
    assert!(
        server.store.audit().iter().all(|request| request.revision.is_none_or(fits)),
        "no database keeps a larger one"
    );
    for tags in [&["1"][..], &["*", "*"], &["W/\"1\""], &["\"1"], &["\"x\""], &["\"1\"", "\"1\""], &["\"1\", \"2\""]] {
        let reply = pause(tags).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{tags:?}");
        assert_eq!(codes(&reply)[0].0, "If-Match");
    }
    assert_eq!(pause(&["\"1\""]).await.status, 200);
    assert_eq!(pause(&["\"1\""]).await.refusal(), (412, "REVISION_MISMATCH".to_owned()), "it has moved on");
    assert_eq!(server.ops().act(&id, "resume", &why()).await.status, 200);
    assert_eq!(pause(&["*"]).await.status, 200, "whatever the revision is");
}

#[tokio::test]
async fn what_a_verb_says() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let long = "é".repeat(1_001);
    let mut table: Vec<(&str, Json, Vec<Wrong>)> = vec![
        ("skip", json!({"reason": "x"}), vec![("/step", "REQUIRED")]),
        ("skip", json!({"reason": "x", "step": 1}), vec![("/step", "WRONG_TYPE")]),
        (
            "skip",
            json!({"step": "", "fromStep": "x"}),
            vec![("/fromStep", "UNKNOWN_FIELD"), ("/reason", "REQUIRED"), ("/step", "INVALID_VALUE")],
        ),
        (
            "skip",
            json!({"reason": " ", "step": "nothing"}),
            vec![("/reason", "INVALID_VALUE"), ("/step", "INVALID_VALUE")],
        ),
        ("replay", json!({"reason": "x", "step": "notify-customer"}), vec![("/step", "UNKNOWN_FIELD")]),
        ("replay", json!({"reason": "x", "fromStep": null}), vec![("/fromStep", "WRONG_TYPE")]),
        ("replay", json!({"reason": "x", "input": []}), vec![("/input", "WRONG_TYPE")]),
        ("replay", json!({"reason": "x", "input": null}), vec![("/input", "WRONG_TYPE")]),
        ("replay", json!({"reason": "x", "input": "\0"}), vec![("/input", "INVALID_VALUE")]),
        // The input of an order is an order.
        (
            "replay",
            json!({"reason": "", "input": {"amount": 0}}),
            vec![
                ("/input/amount", "INVALID_AMOUNT"),
                ("/input/items", "REQUIRED"),
                ("/input/userId", "REQUIRED"),
                ("/reason", "INVALID_VALUE"),
            ],
        ),
        ("cancel", json!({"reason": "x", "step": "notify-customer"}), vec![("/step", "UNKNOWN_FIELD")]),
    ];
    for verb in VERBS {
        let step = if verb == "skip" { json!({"step": "notify-customer"}) } else { json!({}) };
        for (reason, code) in [
            (None, "REQUIRED"),
            (Some(Json::Null), "WRONG_TYPE"),
            (Some(json!(1)), "WRONG_TYPE"),
            (Some(json!(["x"])), "WRONG_TYPE"),
            (Some(json!("")), "INVALID_VALUE"),
            (Some(json!(" \t\n\u{a0}")), "INVALID_VALUE"),
            (Some(json!("a\0b")), "INVALID_VALUE"),
            (Some(json!(long)), "TOO_LONG"),
        ] {
            let mut body = step.clone();
            if let Some(reason) = reason {
                body["reason"] = reason;
            }
            table.push((verb, body, vec![("/reason", code)]));
        }
        table.push((verb, json!([]), vec![("", "WRONG_TYPE")]));
        table.push((verb, json!("because"), vec![("", "WRONG_TYPE")]));
    }
    for (verb, body, wrong) in table {
        let reply = server.ops().act(&id, verb, &body).await;
        assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()), "{verb} {body}");
        let wrong: Vec<_> = wrong.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect();
        assert_eq!(codes(&reply), wrong, "{verb} {body}");
    }
    let path = format!("/admin/sagas/{id}/pause");
    let twice = server
        .ops()
        .send("POST", &path, &[("content-type", "application/json")], r#"{"reason": "a", "reason": "b"}"#)
        .await;
    assert_eq!(codes(&twice), [("/reason".to_owned(), "DUPLICATE_KEY".to_owned())]);
    let unknown = r#"{"reason": "a", "x": 1, "x": 2}"#;
    let twice = server.ops().send("POST", &path, &[("content-type", "application/json")], unknown).await;
    let wrong = [("/x", "DUPLICATE_KEY"), ("/x", "UNKNOWN_FIELD")];
    assert_eq!(codes(&twice), wrong.map(|(place, code)| (place.to_owned(), code.to_owned())), "each once");
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["revision"], 1, "nothing was done");
    // The longest reason, in characters.
    assert_eq!(server.ops().act(&id, "pause", &json!({"reason": "é".repeat(1_000)})).await.status, 200);
}

#[tokio::test]
async fn a_state_that_takes_no_input_is_told_before_what_is_wrong_with_it() {
    let server = Server::start().await;
    let (ops, reads) = (server.ops(), server.client());
    let bad = json!({"reason": "x", "input": {"amount": 0}});
    let replay = async |id: &str, body: &Json| ops.act(id, "replay", body).await.refusal();

    // Compensating: no input is taken, whatever it is.
    server.bus.workers(|command| match (command.step.as_str(), command.kind) {
        ("charge-payment", Kind::Action) => Some((Outcome::Rejected, "DECLINED")),
        (_, Kind::Compensate) => Some((Outcome::Rejected, "REFUSED")),
        _ => Some((Outcome::Succeeded, "")),
    });
    let unwinding = reads.order_id(&order()).await;
    assert_eq!(reads.at_rest(&unwinding).await["stuck"]["cause"], "UNDO_REFUSED");
    let good = json!({"reason": "x", "input": order()});
    for body in [&bad, &good, &json!({"reason": "x", "input": {}})] {
        assert_eq!(replay(&unwinding, body).await, (409, "EFFECT_MAY_STAND".to_owned()), "{body}");
    }
    let elsewhere = json!({"reason": "x", "input": {}, "fromStep": "notify-customer"});
    assert_eq!(replay(&unwinding, &elsewhere).await, (422, "STEP_NOT_REPLAYABLE".to_owned()));
    let path = format!("/admin/sagas/{unwinding}/replay");
    let old = ops.post_with(&path, &[("if-match", "\"1\"")], &bad).await;
    assert_eq!(old.refusal(), (412, "REVISION_MISMATCH".to_owned()));

    // What is wrong with the rest of the body comes before the state, and all of it at once.
    let reply = ops.act(&unwinding, "replay", &json!({"input": {"amount": 0}, "note": 1})).await;
    assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(codes(&reply).len(), 5, "{}", reply.text);
    let no_object = json!({"reason": "x", "input": 1});
    assert_eq!(replay(&unwinding, &no_object).await, (422, "VALIDATION_FAILED".to_owned()));

    // Nothing to replay at all.
    server.happy();
    let ended = reads.order_id(&order()).await;
    assert_eq!(reads.at_rest(&ended).await["status"], "COMPLETED");
    assert_eq!(replay(&ended, &bad).await, (409, "ACTION_NOT_ALLOWED".to_owned()));

    // A state that takes one: then it is what is wrong.
    let forward = stuck(&server).await;
    let reply = ops.act(&forward, "replay", &bad).await;
    assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()));
    let codes = codes(&reply);
    assert_eq!(codes[0], ("/input/amount".to_owned(), "INVALID_AMOUNT".to_owned()), "{codes:?}");
    let refused = server.store.audit().iter().filter(|request| request.code.is_some()).count();
    assert_eq!(refused, 9, "each is recorded");
}

#[tokio::test]
async fn sagas_and_verbs_that_are_not_there() {
    let server = Server::start().await;
    let ops = server.ops();
    for verb in VERBS {
        assert_eq!(ops.act(NOBODY, verb, &body_of(verb)).await.refusal(), (404, "SAGA_NOT_FOUND".to_owned()), "{verb}");
        assert_eq!(ops.act("1", verb, &body_of(verb)).await.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{verb}");
    }
    for verb in ["abort", "Cancel", "cancel/", ""] {
        assert_eq!(ops.act(NOBODY, verb, &why()).await.refusal(), (404, "NOT_FOUND".to_owned()), "{verb:?}");
    }
}

#[tokio::test]
async fn a_saga_that_is_no_order() {
    let server = Server::start().await;
    server.workers("tell", Some((Outcome::Rejected, "DEAF")));
    let parcel = server.client().post("/sagas/parcel", &json!({"input": {"n": 1}})).await.body;
    let id = parcel["id"].as_str().unwrap();
    assert_eq!(server.client().at_rest(id).await["status"], "STUCK");
    server.workers("tell", Some((Outcome::Rejected, "DEAF")));
    let body = json!({"reason": "again", "input": {"n": 3}});
    assert_eq!(server.ops().act(id, "replay", &body).await.status, 200);
    assert_eq!(server.client().at_rest(id).await["status"], "STUCK");
    server.happy();
    let body = json!({"reason": "louder", "input": {"n": 2, "loud": true}});
    assert_eq!(server.ops().act(id, "replay", &body).await.status, 200);
    assert_eq!(server.client().at_rest(id).await["status"], "COMPLETED");
    let shown = [(json!({"n": 3}), json!({"n": 1})), (json!({"n": 2, "loud": true}), json!({"n": 3}))];
    assert_eq!(inputs(&server, id).await, shown);
    let told = server.bus.commands().into_iter().next_back().unwrap();
    let payload: Json = serde_json::from_str(told.payload.get()).unwrap();
    assert_eq!(payload["input"], json!({"n": 2, "loud": true}));
}
