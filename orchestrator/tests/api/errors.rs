//! Every way to be refused, and that nothing is stored by it.

use serde_json::json;

use crate::support::{INK, Json, NOBODY, PEN, Server, USER, Wrong, codes, order, order_with};

const JSON: (&str, &str) = ("content-type", "application/json");

fn owned(wrong: &[(&str, &str)]) -> Vec<(String, String)> {
    wrong.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect()
}

/// Bodies that are one JSON value: what is wrong with them.
fn invalid_orders() -> Vec<(String, Vec<Wrong>)> {
    let whole = |body: &str| format!(r#"{{"userId": "{USER}", "amount": 500, "items": {{"{PEN}": 2}}, {body}}}"#);
    let amount = |text: &str| format!(r#"{{"userId": "{USER}", "amount": {text}, "items": {{"{PEN}": 2}}}}"#);
    let items = |text: &str| format!(r#"{{"userId": "{USER}", "amount": 500, "items": {text}}}"#);
    let quantity = |text: &str| items(&format!(r#"{{"{PEN}": {text}, "{INK}": 1}}"#));
    let mut table = Vec::new();
    for text in ["[]", "null", "\"order\"", "500", "true", "[{}]"] {
        table.push((text.to_owned(), vec![("", "WRONG_TYPE")]));
    }
    table.push(("{}".to_owned(), vec![("/amount", "REQUIRED"), ("/items", "REQUIRED"), ("/userId", "REQUIRED")]));
    for text in ["null", "true", "[]", "{}"] {
        table.push((amount(text), vec![("/amount", "WRONG_TYPE")]));
    }
    for text in [
        "0",
        "-1",
        "-0",
        "0.00",
        "1e2",
        "5E2",
        "1.234",
        "1000000000",
        "999999999.991",
        "1e999",
        "\"\"",
        "\"0\"",
        "\"01\"",
        "\"+1\"",
        "\" 1\"",
        "\"1 \"",
        "\"1,5\"",
        "\".5\"",
        "\"1.\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"\u{663}\"",
        "0.001",
    ] {
        table.push((amount(text), vec![("/amount", "INVALID_AMOUNT")]));
    }
    for text in ["null", "1", "[]", "{}", "true"] {
        let body = format!(r#"{{"userId": {text}, "amount": 500, "items": {{"{PEN}": 2}}}}"#);
        table.push((body, vec![("/userId", "WRONG_TYPE")]));
    }
    for text in ["", "me", "11111111111111111111111111111111", "{11111111-1111-1111-1111-111111111111}", "1111-1111"] {
        let body = format!(r#"{{"userId": "{text}", "amount": 500, "items": {{"{PEN}": 2}}}}"#);
        table.push((body, vec![("/userId", "INVALID_UUID")]));
    }
    for text in ["null", "[]", "1", "\"x\"", "true"] {
        table.push((items(text), vec![("/items", "WRONG_TYPE")]));
    }
    for text in ["{}".to_owned(), format!(r#"{{"{PEN}": 0}}"#), format!(r#"{{"{PEN}": 0, "{INK}": 0}}"#)] {
        table.push((items(&text), vec![("/items", "EMPTY_ITEMS")]));
    }
    let at_pen = "/items/aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    for text in ["-1", "-0", "1.5", "1.0", "1e1", "1000001", "99999999999999999999", "0.0"] {
        table.push((quantity(text), vec![(at_pen, "INVALID_QUANTITY")]));
    }
    for text in ["null", "\"1\"", "true", "[]", "{}"] {
        table.push((quantity(text), vec![(at_pen, "WRONG_TYPE")]));
    }
    table.push((items(r#"{"pen": 1}"#), vec![("/items/pen", "INVALID_UUID")]));
    table.push((items(r#"{"": 1}"#), vec![("/items/", "INVALID_UUID")]));
    table.push((items(r#"{"a/b~c": 1}"#), vec![("/items/a~1b~0c", "INVALID_UUID")]));
    table.push((items(r#"{"a\u0000": 1}"#), vec![("/items/a\0", "INVALID_VALUE")]));
    table.push((items(r#"{"a\u0000": null}"#), vec![("/items/a\0", "INVALID_VALUE"), ("/items/a\0", "WRONG_TYPE")]));
    table.push((items(r#""\u0000""#), vec![("/items", "INVALID_VALUE")]));
    table.push((items(r#"["\u0000"]"#), vec![("/items", "WRONG_TYPE"), ("/items/0", "INVALID_VALUE")]));
    table.push((quantity(r#""\u0000""#), vec![(at_pen, "INVALID_VALUE")]));
    let twice = items(&format!(r#"{{"{PEN}": 1, "{PEN}": 2}}"#));
    table.push((twice, vec![(at_pen, "DUPLICATE_KEY")]));
    let in_two_cases = items(&format!(r#"{{"{PEN}": 1, "{}": 2}}"#, PEN.to_uppercase()));
    table.push((in_two_cases, vec![("/items/AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA", "DUPLICATE_ITEM")]));
    for text in ["\"ZZZ\"", "\"usd\"", "\"\"", "\"DEM\"", "\"US\"", "\"USDX\""] {
        table.push((whole(&format!(r#""currency": {text}"#)), vec![("/currency", "INVALID_CURRENCY")]));
    }
    for text in ["null", "840", "[]", "{}", "true"] {
        table.push((whole(&format!(r#""currency": {text}"#)), vec![("/currency", "WRONG_TYPE")]));
        table.push((whole(&format!(r#""paymentMethod": {text}"#)), vec![("/paymentMethod", "WRONG_TYPE")]));
    }
    for text in ["\"\"", "\"pm_other\"", "\"PM_APPROVE\"", "\"pm_approve \""] {
        table.push((whole(&format!(r#""paymentMethod": {text}"#)), vec![("/paymentMethod", "INVALID_PAYMENT_METHOD")]));
    }
    table.push((whole(r#""currency": "US\u0000""#), vec![("/currency", "INVALID_VALUE")]));
    table.push((whole(r#""paymentMethod": "pm\u0000""#), vec![("/paymentMethod", "INVALID_VALUE")]));
    table.push((whole(r#""id": 1"#), vec![("/id", "UNKNOWN_FIELD")]));
    table.push((
        whole(r#""totalAmount": 500, "x/y": 1"#),
        vec![("/totalAmount", "UNKNOWN_FIELD"), ("/x~1y", "UNKNOWN_FIELD")],
    ));
    table.push((whole(r#""amount": 500"#), vec![("/amount", "DUPLICATE_KEY")]));
    table.push((whole(r#""a\u0000": 1"#), vec![("/a\0", "INVALID_VALUE")]));
    table.push((whole(r#""note": "\u0000""#), vec![("/note", "INVALID_VALUE"), ("/note", "UNKNOWN_FIELD")]));
    table.push((
        whole(r#""note": {"a": ["\u0000"]}"#),
        vec![("/note", "UNKNOWN_FIELD"), ("/note/a/0", "INVALID_VALUE")],
    ));
    // Each once, however often it stands there.
    table.push((
        whole(r#""x": 1, "x": 2, "x\u0000": 1, "x\u0000": 2"#),
        vec![("/x", "DUPLICATE_KEY"), ("/x", "UNKNOWN_FIELD"), ("/x\0", "DUPLICATE_KEY"), ("/x\0", "INVALID_VALUE")],
    ));
    // All of it at once.
    let all = format!(
        r#"{{"userId": "me", "amount": "5,0", "items": {{"pen": -1, "{INK}": "1"}}, "currency": "EURO", "note": 1}}"#
    );
    table.push((
        all,
        vec![
            ("/amount", "INVALID_AMOUNT"),
            ("/currency", "INVALID_CURRENCY"),
            ("/items/bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", "WRONG_TYPE"),
            ("/items/pen", "INVALID_QUANTITY"),
            ("/items/pen", "INVALID_UUID"),
            ("/note", "UNKNOWN_FIELD"),
            ("/userId", "INVALID_UUID"),
        ],
    ));
    table
}

/// Bodies that are no JSON value that is read.
fn malformed() -> Vec<Vec<u8>> {
    let nested = |depth: usize| format!(r#"{{"a": {}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let mut table: Vec<Vec<u8>> = vec![b"\xff".to_vec(), b"\"\xc3\x28\"".to_vec(), b"\xef\xbb\xbf{}".to_vec()];
    for text in [
        "",
        " ",
        "{",
        "{}{}",
        "{} x",
        "nul",
        "{'a': 1}",
        "{\"a\": 01}",
        "[1,]",
        r#"{"a": "\ud800"}"#,
        r#"{"\udc00": 1}"#,
        "{\"a\": NaN}",
    ] {
        table.push(text.into());
    }
    table.push(nested(32).into());
    table.push(nested(30_000).into());
    table
}

#[tokio::test]
async fn bodies_of_orders() {
    let server = Server::start().await;
    for (body, wrong) in invalid_orders() {
        let reply = server.client().send("POST", "/orders", &[JSON], body.clone()).await;
        assert_eq!(reply.refusal(), (422, "VALIDATION_FAILED".to_owned()), "{body}");
        assert_eq!(codes(&reply), owned(&wrong), "{body}");
        assert_eq!(reply.body["instance"], "/orders");
        assert!(reply.body["errors"].as_array().unwrap().iter().all(|error| error["detail"].is_string()));
    }
    for body in malformed() {
        let reply = server.client().send("POST", "/orders", &[JSON], body.clone()).await;
        assert_eq!(reply.refusal(), (400, "MALFORMED_JSON".to_owned()), "{:?}", String::from_utf8_lossy(&body));
    }
    // As deep as may be, it is read, and refused for what it says.
    let deep = format!(r#"{{"a": {}1{}}}"#, "[".repeat(31), "]".repeat(31));
    assert_eq!(server.client().send("POST", "/orders", &[JSON], deep).await.status, 422);
    assert_eq!((server.store.started(), server.bus.commands().len()), (0, 0), "nothing was stored or published");
}

#[tokio::test]
async fn headers_of_an_order() {
    let server = Server::start().await;
    let body = order().to_string();
    let send = |headers: Vec<(&'static str, &'static str)>| {
        let (client, body) = (server.client().clone(), body.clone());
        async move { client.send("POST", "/orders", &headers, body).await }
    };
    for headers in [
        vec![],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
        vec![("content-type", "application/json; charset=latin1")],
        vec![("content-type", "application/problem+json")],
        vec![JSON, ("content-encoding", "gzip")],
        vec![JSON, ("content-encoding", "identity")],
        vec![JSON, JSON],
    ] {
        let reply = send(headers.clone()).await;
        assert_eq!(reply.refusal(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()), "{headers:?}");
    }
    let long: &'static str = Box::leak("k".repeat(256).into_boxed_str());
    for key in ["", "a b", "\u{e9}", long] {
        let reply = send(vec![JSON, ("idempotency-key", key)]).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{key}");
        assert_eq!(codes(&reply)[0].0, "Idempotency-Key");
    }
    let reply = send(vec![JSON, ("idempotency-key", "a"), ("idempotency-key", "a")]).await;
    assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "two keys");
    assert_eq!(server.store.started(), 0);

    for kind in ["application/json", "Application/JSON;charset=UTF-8", "application/json; charset=\"utf-8\""] {
        assert_eq!(send(vec![("content-type", kind)]).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn queries_that_no_route_knows() {
    let server = Server::start().await;
    let client = server.ops();
    let id = client.order_id(&order()).await;
    for (method, path, body) in [
        ("GET", format!("/orders/{id}"), Json::Null),
        ("POST", "/orders".to_owned(), order()),
        ("POST", "/sagas/order-fulfilment".to_owned(), json!({"input": order()})),
        ("GET", format!("/sagas/{id}"), Json::Null),
        ("GET", format!("/sagas/{id}/history"), Json::Null),
        ("GET", "/definitions".to_owned(), Json::Null),
        ("GET", "/definitions/order-fulfilment".to_owned(), Json::Null),
        ("POST", format!("/admin/sagas/{id}/cancel"), json!({"reason": "why not"})),
    ] {
        let reply = client.send(method, &format!("{path}?verbose=1"), &[JSON], body.to_string()).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{method} {path}");
        assert_eq!(codes(&reply), owned(&[("verbose", "UNKNOWN_FIELD")]));
    }
    assert_eq!(server.store.started(), 1);
    assert_eq!(client.get(&format!("/sagas/{id}")).await.body["status"], "RUNNING");
}

#[tokio::test]
async fn paths_and_methods() {
    let server = Server::start().await;
    let client = server.ops();
    for path in ["/", "/order", "/orders/", "/orders//", "/sagas", "/admin", "/admin/sagas", "/ORDERS", "/orders/a/b"] {
        let reply = client.get(path).await;
        assert_eq!(reply.refusal(), (404, "NOT_FOUND".to_owned()), "{path}");
        assert_eq!(reply.body["instance"], path);
    }
    for (method, path, allow) in [
        ("DELETE", "/orders".to_owned(), "GET,HEAD,POST"),
        ("PUT", "/orders".to_owned(), "GET,HEAD,POST"),
        ("PATCH", format!("/orders/{NOBODY}"), "GET,HEAD"),
        ("POST", format!("/orders/{NOBODY}"), "GET,HEAD"),
        ("DELETE", format!("/sagas/{NOBODY}"), "GET,HEAD,POST"),
        ("POST", format!("/sagas/{NOBODY}/history"), "GET,HEAD"),
        ("POST", "/definitions".to_owned(), "GET,HEAD"),
        ("GET", format!("/admin/sagas/{NOBODY}/cancel"), "POST"),
        ("PUT", format!("/admin/sagas/{NOBODY}/cancel"), "POST"),
        ("OPTIONS", "/orders".to_owned(), "GET,HEAD,POST"),
        ("POST", "/readyz".to_owned(), "GET,HEAD"),
    ] {
        let reply = client.send(method, &path, &[JSON], "{}").await;
        assert_eq!(reply.refusal(), (405, "METHOD_NOT_ALLOWED".to_owned()), "{method} {path}");
        let mut allowed: Vec<_> = reply.header("allow").unwrap().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
    let long = format!("/orders?userId={}", "1".repeat(9_000));
    assert_eq!(client.get(&long).await.refusal().0, 414);
    let head = client.send("HEAD", "/definitions", &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = Server::start().await;
    let padded = |bytes: usize| {
        let body = order().to_string();
        format!("{}{body}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(server.client().send("POST", "/orders", &[JSON], padded(65_536)).await.status, 200);
    let reply = server.client().send("POST", "/orders", &[JSON], padded(65_537)).await;
    assert_eq!(reply.refusal(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    // A body whose length nobody said.
    let head = "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let body = padded(65_537);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = server.client().raw(&[head.as_bytes(), chunked.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    assert_eq!(server.store.started(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    let server = Server::start().await;
    let head = "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let answer = server.client().raw(&[head.as_bytes(), b"5\r\n{\"use\r\nzz\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("MALFORMED_JSON"), "{answer}");
    assert_eq!(server.store.started(), 0);
}

#[tokio::test]
async fn a_refused_order_uses_no_key_up() {
    let server = Server::start().await;
    let key = ("idempotency-key", "once");
    let bad = server.client().post_with("/orders", &[key], &order_with(json!({"amount": -1}))).await;
    assert_eq!(bad.status, 422);
    let good = server.client().post_with("/orders", &[key], &order()).await;
    assert_eq!((good.status, good.header("idempotent-replayed")), (200, None));
}
