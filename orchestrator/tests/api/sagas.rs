//! Looking at sagas.

use std::time::{Duration, Instant};

use saga_model::micros::Millis;
use saga_model::state::Outcome;
use serde_json::json;

use crate::support::{Json, NOBODY, Options, Server, codes, order, order_with};

fn micros(value: &Json) -> i64 {
    service::time::parse(value.as_str().unwrap()).unwrap().0
}

#[tokio::test]
async fn a_saga_that_waits_for_a_reply() {
    let server = Server::start().await;
    let id = server.client().order_id(&order_with(json!({"amount": "499.90"}))).await;
    // Until the engine has seen that a worker took it, a command may be nobody's.
    let saga = server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "reply").await;
    let created = saga["createdAt"].clone();
    let pending = |name: &str| {
        json!({"name": name, "status": "PENDING", "round": 1, "attempts": 0, "startedAt": null, "finishedAt": null,
               "output": null, "error": null, "compensation": null})
    };
    let expected = json!({
        "id": id, "definition": {"name": "order-fulfilment", "version": 1}, "status": "RUNNING", "businessKey": null,
        "input": {"userId": order()["userId"], "amount": 499.9, "currency": "USD", "items": order()["items"]},
        "revision": 1, "createdAt": created, "updatedAt": created, "deadline": saga["deadline"],
        "waitingFor": {"kind": "reply", "step": "reserve-inventory", "since": created, "until": saga["waitingFor"]["until"]},
        "failure": null, "stuck": null,
        "steps": [
            {"name": "reserve-inventory", "status": "RUNNING", "round": 1, "attempts": 1, "startedAt": created,
             "finishedAt": null, "output": null, "error": null, "compensation": null},
            pending("charge-payment"), pending("notify-customer"),
        ],
        "traceId": saga["traceId"], "availableActions": saga["availableActions"],
    });
    assert_eq!(saga, expected);
    assert_eq!(micros(&saga["deadline"]) - micros(&created), 3_600_000_000);
    assert_eq!(micros(&saga["waitingFor"]["until"]) - micros(&created), 60_000_000);
    let mut actions: Vec<_> =
        saga["availableActions"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["cancel", "compensate", "pause"]);
}

#[tokio::test]
async fn a_saga_that_waits_for_a_worker() {
    let server = Server::start().await;
    server.bus.no_workers();
    let id = server.client().order_id(&order()).await;
    let saga = server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "worker").await;
    let waiting = json!({"kind": "worker", "step": "reserve-inventory", "since": saga["createdAt"], "until": null});
    assert_eq!((&saga["waitingFor"], &saga["status"]), (&waiting, &json!("RUNNING")));
}

#[tokio::test]
async fn a_saga_that_waits_for_its_next_attempt() {
    let policy = Options::default().policy;
    let slow = Options {
        policy: saga_model::definition::Policy {
            retry_base: Millis(3_000_000),
            retry_cap: Millis(3_000_000),
            ..policy
        },
        ..Options::default()
    };
    let server = Server::with(slow).await;
    server.workers("reserve-inventory", Some((Outcome::Retryable, "BUSY")));
    let id = server.client().order_id(&order()).await;
    let saga = server.client().until(&id, |saga| saga["waitingFor"]["kind"] == "retry").await;
    assert_eq!(saga["waitingFor"]["step"], "reserve-inventory");
    assert_eq!(saga["waitingFor"]["since"], saga["updatedAt"]);
    assert!(micros(&saga["waitingFor"]["until"]) > micros(&saga["updatedAt"]));
    assert_eq!(saga["steps"][0]["error"], json!({"code": "BUSY", "message": "said a worker"}));
    assert!(saga["availableActions"].as_array().unwrap().contains(&json!("replay")), "try now");
}

#[tokio::test]
async fn a_saga_that_went_well() {
    let server = Server::start().await;
    server.happy();
    let id = server.client().order_id(&order()).await;
    let saga = server.client().at_rest(&id).await;
    for (name, value) in [
        ("status", json!("COMPLETED")),
        ("revision", json!(4)),
        ("deadline", Json::Null),
        ("waitingFor", Json::Null),
        ("failure", Json::Null),
        ("stuck", Json::Null),
        ("availableActions", json!([])),
    ] {
        assert_eq!(saga[name], value, "{name}");
    }
    for step in saga["steps"].as_array().unwrap() {
        assert_eq!(step["status"], "SUCCEEDED");
        assert_eq!(step["output"], json!({"by": step["name"]}));
        assert!(micros(&step["finishedAt"]) >= micros(&step["startedAt"]));
    }
}

#[tokio::test]
async fn a_saga_that_is_stuck() {
    let server = Server::start().await;
    server.workers("notify-customer", Some((Outcome::Rejected, "NO_ADDRESS")));
    let id = server.client().order_id(&order()).await;
    let saga = server.client().at_rest(&id).await;
    assert_eq!((&saga["status"], &saga["deadline"]), (&json!("STUCK"), &Json::Null));
    let since = saga["stuck"]["since"].clone();
    assert_eq!((&saga["stuck"]["cause"], &saga["stuck"]["step"]), (&json!("REJECTED"), &json!("notify-customer")));
    assert!(saga["stuck"]["message"].is_string());
    assert_eq!(
        saga["waitingFor"],
        json!({"kind": "operator", "step": "notify-customer", "since": since, "until": null})
    );
}

#[tokio::test]
async fn the_history() {
    let server = Server::start().await;
    server.happy();
    let id = server.client().order_id(&order()).await;
    server.client().at_rest(&id).await;
    let reply = server.client().get(&format!("/sagas/{id}/history")).await;
    assert_eq!(reply.status, 200);
    let events = reply.body["events"].as_array().unwrap();
    let text = |event: &Json, name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let rows: Vec<_> = events
        .iter()
        .map(|event| (event["seq"].as_u64().unwrap(), text(event, "type"), text(event, "step"), text(event, "actor")))
        .collect();
    let row = |seq, kind: &str, step: &str, actor: &str| (seq, kind.to_owned(), step.to_owned(), actor.to_owned());
    assert_eq!(
        rows,
        [
            row(1, "SagaStarted", "-", "key:anonymous"),
            row(2, "StepSucceeded", "reserve-inventory", "worker"),
            row(3, "StepSucceeded", "charge-payment", "worker"),
            row(4, "StepSucceeded", "notify-customer", "worker"),
        ]
    );
    for event in events {
        micros(&event["at"]);
        assert!(event["data"].is_object());
        for name in ["seq", "at", "type", "step", "round", "attempt", "data", "actor"] {
            assert!(event.get(name).is_some(), "{name}");
        }
    }
    assert_eq!((&events[0]["round"], &events[0]["attempt"]), (&Json::Null, &Json::Null));
    assert_eq!((&events[1]["round"], &events[1]["attempt"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_saga_that_is_not_there() {
    let server = Server::start().await;
    for path in [format!("/sagas/{NOBODY}"), format!("/sagas/{NOBODY}/history"), format!("/sagas/{NOBODY}?wait=20s")] {
        let begun = Instant::now();
        assert_eq!(server.client().get(&path).await.refusal(), (404, "SAGA_NOT_FOUND".to_owned()), "{path}");
        assert!(begun.elapsed() < Duration::from_secs(10), "there is nothing to wait for");
    }
    for path in ["/sagas/1", "/sagas/order-fulfilment", "/sagas/1/history"] {
        let reply = server.client().get(path).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{path}");
        assert_eq!(codes(&reply), [("id".to_owned(), "INVALID_UUID".to_owned())]);
    }
    let id = server.client().order_id(&order()).await;
    assert_eq!(server.client().get(&format!("/sagas/{}", id.to_uppercase())).await.body["id"], json!(id));
}

#[tokio::test]
async fn waiting_for_rest() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    // The time is over: the saga as it is.
    for wait in ["0s", "0ms", "30ms"] {
        let reply = server.client().get(&format!("/sagas/{id}?wait={wait}")).await;
        assert_eq!((reply.status, &reply.body["status"]), (200, &json!("RUNNING")), "{wait}");
    }
    // At rest while somebody waits: paused.
    let (path, ops) = (format!("/sagas/{id}?wait=60s"), server.ops());
    let begun = Instant::now();
    let (waited, paused) = tokio::join!(server.client().get(&path), async {
        ops.act(&id, "pause", &json!({"reason": "to look at it"})).await
    });
    assert_eq!((&waited.body["status"], &paused.body["status"]), (&json!("PAUSED"), &json!("PAUSED")));
    // At rest already.
    assert_eq!(server.client().get(&path).await.body["status"], "PAUSED");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn how_long_one_may_wait() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    server.ops().act(&id, "pause", &json!({"reason": "to be at rest"})).await;
    for good in ["60s", "1m", "60000ms", "0h", "0s"] {
        assert_eq!(server.client().get(&format!("/sagas/{id}?wait={good}")).await.status, 200, "{good}");
    }
    for bad in
        ["61s", "60001ms", "2m", "1h", "30", "", "s", "-1s", "1.5s", "1d", "30%20s", "PT30S", "99999999999999999999s"]
    {
        let reply = server.client().get(&format!("/sagas/{id}?wait={bad}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{bad}");
        assert_eq!(codes(&reply), [("wait".to_owned(), "INVALID_VALUE".to_owned())]);
    }
    let twice = server.client().get(&format!("/sagas/{id}?wait=1s&wait=1s")).await;
    assert_eq!(twice.refusal(), (400, "INVALID_PARAMETER".to_owned()));
}

#[tokio::test]
async fn the_trace_goes_on() {
    let server = Server::start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = server.client().post_with("/orders", &[("traceparent", parent)], &order()).await;
    let path = format!("/sagas/{}", reply.body["id"].as_str().unwrap());
    assert_eq!(server.client().get(&path).await.body["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    // Without one, or with one that is none, a trace begins.
    let mut ids = std::collections::BTreeSet::new();
    for parent in ["", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let reply = server.client().post_with("/orders", &[("traceparent", parent)], &order()).await;
        let path = format!("/sagas/{}", reply.body["id"].as_str().unwrap());
        let id = server.client().get(&path).await.body["traceId"].as_str().unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id != "0".repeat(32), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn the_revision_is_a_tag() {
    let server = Server::start().await;
    let id = server.client().order_id(&order()).await;
    let reply = server.client().get(&format!("/sagas/{id}")).await;
    assert_eq!(reply.header("etag"), Some("\"1\""));
}
