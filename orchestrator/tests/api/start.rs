//! `POST /sagas/{definition}` and `/definitions`.

use serde_json::json;

use crate::support::{INK, Json, PEN, Server, USER, Wrong, codes, order};

#[tokio::test]
async fn any_definition() {
    let server = Server::start().await;
    let input = r#"{"weight": 1.50, "to": {"street": "Löwengasse", "nr": 1e2}, "list": [1, null]}"#;
    let body = format!(r#"{{"input": {input}, "businessKey": "P-4711"}}"#);
    let reply = server.client().send("POST", "/sagas/parcel", &[("content-type", "application/json")], body).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    let id = reply.body["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("/sagas/{id}").as_str()));
    assert_eq!(reply.header("idempotent-replayed"), None);
    for (name, value) in [
        ("definition", json!({"name": "parcel", "version": 3})),
        ("businessKey", json!("P-4711")),
        ("status", json!("RUNNING")),
        ("revision", json!(1)),
        ("input", serde_json::from_str(input).unwrap()),
    ] {
        assert_eq!(reply.body[name], value, "{name}");
    }
    assert!(reply.text.contains("1.50"), "the input is carried to the letter: {}", reply.text);
    let steps: Vec<_> = reply.body["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert_eq!(steps, ["pack", "hand-over", "tell"]);
    assert_eq!(server.client().get(&format!("/sagas/{id}")).await.body["id"], reply.body["id"]);
}

#[tokio::test]
async fn an_order_started_so_is_an_order() {
    let server = Server::start().await;
    let body = json!({"input": {"userId": USER, "amount": "500.00", "items": {PEN: 2, INK: 1}}, "businessKey": "B-1"});
    let reply = server.client().post("/sagas/order-fulfilment", &body).await;
    assert_eq!((reply.status, &reply.body["businessKey"]), (202, &json!("B-1")), "{}", reply.text);
    let order = server.client().get(&format!("/orders/{}", reply.body["id"].as_str().unwrap())).await.body;
    assert_eq!(
        (&order["totalAmount"], &order["currency"], &order["status"]),
        (&json!(500), &json!("USD"), &json!("CREATED"))
    );
    let listed = server.client().get(&format!("/orders?userId={USER}")).await.body;
    assert_eq!(listed["content"], json!([order]));
}

#[tokio::test]
async fn what_a_start_says() {
    let server = Server::start().await;
    let long = "k".repeat(256);
    let table: Vec<(&str, String, Vec<Wrong>)> = vec![
        ("parcel", "[]".to_owned(), vec![("", "WRONG_TYPE")]),
        ("parcel", "{}".to_owned(), vec![("/input", "REQUIRED")]),
        ("parcel", r#"{"input": null}"#.to_owned(), vec![("/input", "WRONG_TYPE")]),
        ("parcel", r#"{"input": []}"#.to_owned(), vec![("/input", "WRONG_TYPE")]),
        ("parcel", r#"{"input": "x"}"#.to_owned(), vec![("/input", "WRONG_TYPE")]),
        ("parcel", r#"{"input": {}, "businessKey": null}"#.to_owned(), vec![("/businessKey", "WRONG_TYPE")]),
        ("parcel", r#"{"input": {}, "businessKey": 1}"#.to_owned(), vec![("/businessKey", "WRONG_TYPE")]),
        ("parcel", r#"{"input": {}, "businessKey": ""}"#.to_owned(), vec![("/businessKey", "INVALID_VALUE")]),
        ("parcel", r#"{"input": {}, "businessKey": "a\u0000"}"#.to_owned(), vec![("/businessKey", "INVALID_VALUE")]),
        ("parcel", format!(r#"{{"input": {{}}, "businessKey": "{long}"}}"#), vec![("/businessKey", "TOO_LONG")]),
        ("parcel", r#"{"input": {}, "reason": "x"}"#.to_owned(), vec![("/reason", "UNKNOWN_FIELD")]),
        (
            "parcel",
            r#"{"input": {}, "reason": "\u0000"}"#.to_owned(),
            vec![("/reason", "INVALID_VALUE"), ("/reason", "UNKNOWN_FIELD")],
        ),
        ("parcel", r#"{"input": "\u0000"}"#.to_owned(), vec![("/input", "INVALID_VALUE")]),
        ("order-fulfilment", r#"{"input": "\u0000"}"#.to_owned(), vec![("/input", "INVALID_VALUE")]),
        ("parcel", r#"{"input": {}, "input": {}}"#.to_owned(), vec![("/input", "DUPLICATE_KEY")]),
        ("parcel", r#"{"input": {"a": [{"b": 1, "b": 2}]}}"#.to_owned(), vec![("/input/a/0/b", "DUPLICATE_KEY")]),
        (
            "parcel",
            r#"{"input": {"a": ["\u0000"], "b\u0000": 1}}"#.to_owned(),
            vec![("/input/a/0", "INVALID_VALUE"), ("/input/b\0", "INVALID_VALUE")],
        ),
        (
            "parcel",
            r#"{"a": 1, "businessKey": {}}"#.to_owned(),
            vec![("/a", "UNKNOWN_FIELD"), ("/businessKey", "WRONG_TYPE"), ("/input", "REQUIRED")],
        ),
        (
            "order-fulfilment",
            order().to_string(),
            vec![
                ("/amount", "UNKNOWN_FIELD"),
                ("/input", "REQUIRED"),
                ("/items", "UNKNOWN_FIELD"),
                ("/userId", "UNKNOWN_FIELD"),
            ],
        ),
        ("order-fulfilment", r#"{"input": 1}"#.to_owned(), vec![("/input", "WRONG_TYPE")]),
        (
            "order-fulfilment",
            r#"{"input": {"amount": 0, "items": {}, "amount": 0, "x/y": 1}, "businessKey": ""}"#.to_owned(),
            vec![
                ("/businessKey", "INVALID_VALUE"),
                ("/input/amount", "DUPLICATE_KEY"),
                ("/input/amount", "INVALID_AMOUNT"),
                ("/input/items", "EMPTY_ITEMS"),
                ("/input/userId", "REQUIRED"),
                ("/input/x~1y", "UNKNOWN_FIELD"),
            ],
        ),
    ];
    for (definition, body, wrong) in table {
        let headers = [("content-type", "application/json")];
        let reply = server.client().send("POST", &format!("/sagas/{definition}"), &headers, body.clone()).await;
        assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()), "{body}");
        let wrong: Vec<_> = wrong.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect();
        assert_eq!(codes(&reply), wrong, "{body}");
    }
    for (body, status, code) in [("{", 400, "MALFORMED_JSON"), ("", 400, "MALFORMED_JSON")] {
        let reply = server.client().send("POST", "/sagas/parcel", &[("content-type", "application/json")], body).await;
        assert_eq!(reply.refusal(), (status, code.to_owned()));
    }
    assert_eq!(server.client().send("POST", "/sagas/parcel", &[], "{}").await.refusal().0, 415);
    assert_eq!((server.store.started(), server.bus.commands().len()), (0, 0));
    // The longest key, in characters.
    let body = json!({"input": {}, "businessKey": "é".repeat(255)});
    assert_eq!(server.client().post("/sagas/parcel", &body).await.status, 202);
}

#[tokio::test]
async fn a_definition_that_is_not_there() {
    let server = Server::start().await;
    for name in ["Parcel", "parcels", "x%20y", "%C3%A9", "..%2Fparcel"] {
        let reply = server.client().post(&format!("/sagas/{name}"), &json!({"input": {}})).await;
        assert_eq!(reply.refusal(), (404, "DEFINITION_NOT_FOUND".to_owned()), "{name}");
        let reply = server.client().get(&format!("/definitions/{name}")).await;
        assert_eq!(reply.refusal(), (404, "DEFINITION_NOT_FOUND".to_owned()), "{name}");
    }
    for name in ["%00", "%ff"] {
        let reply = server.client().post(&format!("/sagas/{name}"), &json!({"input": {}})).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{name}");
        let reply = server.client().get(&format!("/definitions/{name}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{name}");
        assert_eq!(codes(&reply), [("name".to_owned(), "INVALID_VALUE".to_owned())]);
    }
    assert_eq!(server.store.started(), 0);
}

#[tokio::test]
async fn definitions() {
    let server = Server::start().await;
    let step = |name: &str, class: &str, closing: bool, topic: &str| -> Json {
        json!({"name": name, "class": class, "closing": closing, "topic": topic, "timeout": "1m", "attempts": 3})
    };
    let order = json!({"name": "order-fulfilment", "version": 1, "steps": [
        step("reserve-inventory", "UNDOABLE", false, "inventory.commands"),
        step("charge-payment", "PIVOT", false, "payment.commands"),
        step("notify-customer", "RETRIABLE", true, "notification.commands"),
    ]});
    let mut tell = step("tell", "RETRIABLE", false, "parcel.commands");
    (tell["timeout"], tell["attempts"]) = (json!("1500ms"), json!(7));
    let parcel = json!({"name": "parcel", "version": 3, "steps": [
        step("pack", "UNDOABLE", false, "parcel.commands"), step("hand-over", "PIVOT", false, "parcel.commands"), tell,
    ]});
    let client = server.client();
    assert_eq!(client.get("/definitions").await.body, json!({"definitions": [order, parcel]}));
    assert_eq!(client.get("/definitions/order-fulfilment").await.body, order);
    assert_eq!(client.get("/definitions/parcel").await.body, parcel);
}
