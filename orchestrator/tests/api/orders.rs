//! `/orders`, as the clients of the shop know it.

use saga_model::state::Outcome;
use serde_json::json;

use crate::support::{INK, Json, NOBODY, PEN, Server, USER, codes, order, order_with};

fn is_time(value: &Json) -> bool {
    let text = value.as_str().unwrap();
    text.len() == 27 && text.ends_with('Z') && service::time::parse(text).is_ok()
}

#[tokio::test]
async fn the_order_that_clients_know() {
    let server = Server::start().await;
    let reply = server.client().post("/orders", &order()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let id = reply.body["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("/orders/{id}").as_str()));
    assert_eq!(reply.header("idempotent-replayed"), None);
    let (created, updated) = (reply.body["createdAt"].clone(), reply.body["updatedAt"].clone());
    assert!(is_time(&created) && is_time(&updated), "{}", reply.text);
    let expected = json!({
        "id": id, "userId": USER, "totalAmount": 500, "currency": "USD", "paymentMethod": null,
        "status": "CREATED", "failureReason": null, "items": {PEN: 2, INK: 1},
        "createdAt": created, "updatedAt": updated,
    });
    assert_eq!(reply.body, expected);
    assert!(!reply.text.contains(": ") && !reply.text.contains(", "), "compact: {}", reply.text);

    // The saga's id is the order's id, and both are there at once.
    assert_eq!(server.client().get(&format!("/orders/{id}")).await.body, expected);
    let saga = server.client().get(&format!("/sagas/{id}")).await;
    assert_eq!((saga.status, &saga.body["id"], &saga.body["businessKey"]), (200, &json!(id), &Json::Null));
}

#[tokio::test]
async fn what_an_order_may_say() {
    let server = Server::start().await;
    for (said, shown) in [
        (json!({"amount": "499.90"}), json!({"totalAmount": 499.9})),
        (json!({"amount": "0.01"}), json!({"totalAmount": 0.01})),
        (json!({"amount": "999999999.99"}), json!({"totalAmount": 999_999_999.99})),
        (
            json!({"currency": "JPY", "paymentMethod": "pm_flaky"}),
            json!({"currency": "JPY", "paymentMethod": "pm_flaky"}),
        ),
        // Lines of 0 ask for nothing and are kept.
        (json!({"items": {PEN: 0, INK: 1_000_000}}), json!({"items": {PEN: 0, INK: 1_000_000}})),
        (
            json!({"userId": "AAAAAAAA-BBBB-cccc-DDDD-EEEEEEEEEEEE"}),
            json!({"userId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"}),
        ),
        (json!({"items": {PEN.to_uppercase(): 1}}), json!({"items": {PEN: 1}})),
    ] {
        let order = server.client().order(&order_with(said.clone())).await;
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(&order[name], value, "{said}");
        }
    }
    // Money goes out as a number without exponent or trailing zeros, whatever it came in as.
    let sent = format!(r#"{{"userId": "{USER}", "amount": 500.00, "items": {{"{PEN}": 1}}}}"#);
    let reply = server.client().send("POST", "/orders", &[("content-type", "application/json")], sent).await;
    assert!(reply.text.contains(r#""totalAmount":500,"#), "{}", reply.text);
}

#[tokio::test]
async fn a_hundred_lines_are_not_too_many() {
    let server = Server::start().await;
    let lines = |n: usize| -> Json {
        (0..n)
            .map(|i| (format!("{i:08x}-0000-0000-0000-000000000000"), json!(1)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let order = server.client().order(&order_with(json!({"items": lines(100)}))).await;
    assert_eq!(order["items"], lines(100));
    let reply = server.client().post("/orders", &order_with(json!({"items": lines(101)}))).await;
    assert_eq!(codes(&reply), [("/items".to_owned(), "TOO_MANY_ITEMS".to_owned())]);
    let mut items = lines(100);
    items["bad"] = json!(-1);
    let reply = server.client().post("/orders", &order_with(json!({"items": items}))).await;
    let mut all = codes(&reply);
    all.sort();
    let wrong = |at: &str, code: &str| (at.to_owned(), code.to_owned());
    let at_item = [wrong("/items/bad", "INVALID_QUANTITY"), wrong("/items/bad", "INVALID_UUID")];
    assert_eq!(all, [&[wrong("/items", "TOO_MANY_ITEMS")], &at_item[..]].concat(), "all that is wrong is told");
}

#[tokio::test]
async fn an_order_that_is_not_there() {
    let server = Server::start().await;
    let client = server.client();
    assert_eq!(client.get(&format!("/orders/{NOBODY}")).await.refusal(), (404, "ORDER_NOT_FOUND".to_owned()));
    let parcel = client.post("/sagas/parcel", &json!({"input": {}})).await.body;
    let path = format!("/orders/{}", parcel["id"].as_str().unwrap());
    assert_eq!(client.get(&path).await.refusal(), (404, "ORDER_NOT_FOUND".to_owned()), "a saga that is no order");
    for bad in
        ["1", "not-a-uuid", "%7Baaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa%7D", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%ff"]
    {
        let reply = client.get(&format!("/orders/{bad}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{bad}");
        assert_eq!(codes(&reply)[0].0, "id");
    }
    let id = client.order_id(&order()).await;
    assert_eq!(client.get(&format!("/orders/{}", id.to_uppercase())).await.body["id"], json!(id));
}

#[tokio::test]
async fn confirmed_with_the_payment() {
    let server = Server::start().await;
    server.workers("notify-customer", None);
    let id = server.client().order_id(&order()).await;
    server.client().until(&id, |saga| saga["steps"][1]["status"] == "SUCCEEDED").await;
    let order = server.client().get(&format!("/orders/{id}")).await.body;
    assert_eq!((order["status"].as_str(), &order["failureReason"]), (Some("CONFIRMED"), &Json::Null));
}

#[tokio::test]
async fn cancelled_when_nothing_is_owed_any_more() {
    let server = Server::start().await;
    // The reservation is not released until the test says so.
    server.bus.workers(|command| match (command.step.as_str(), command.kind) {
        ("charge-payment", _) => Some((Outcome::Rejected, "PAYMENT_DECLINED")),
        ("reserve-inventory", saga_model::state::Kind::Compensate) => None,
        _ => Some((Outcome::Succeeded, "")),
    });
    let id = server.client().order_id(&order()).await;
    server.client().until(&id, |saga| saga["status"] == "COMPENSATING").await;
    let path = format!("/orders/{id}");
    let turning = server.client().get(&path).await.body;
    assert_eq!((turning["status"].as_str(), &turning["failureReason"]), (Some("CREATED"), &Json::Null));
    let release = server.bus.commands().into_iter().next_back().unwrap();
    server.bus.answer(&release, (Outcome::Succeeded, ""));
    assert_eq!(server.client().at_rest(&id).await["status"], "COMPENSATED");
    let order = server.client().get(&path).await.body;
    assert_eq!(order["status"], "CANCELLED");
    assert_eq!(order["failureReason"], json!({"code": "PAYMENT_DECLINED", "message": "said a worker"}));
    assert_ne!(order["updatedAt"], order["createdAt"]);
}

const SORT: fn() -> Json = || json!({"empty": true, "sorted": false, "unsorted": true});

/// A page in the form of Spring's.
fn page(content: &[Json], number: u64, size: u64, total: u64, pages: u64) -> Json {
    json!({
        "content": content, "totalElements": total, "totalPages": pages, "number": number, "size": size,
        "numberOfElements": content.len(), "first": number == 0, "last": number + 1 >= pages,
        "empty": content.is_empty(), "sort": SORT(),
        "pageable": {"pageNumber": number, "pageSize": size, "offset": number * size, "paged": true, "unpaged": false,
                     "sort": SORT()},
    })
}

#[tokio::test]
async fn pages_of_orders() {
    let server = Server::start().await;
    let client = server.client();
    let list = |query: &'static str| async move { client.get(&format!("/orders?userId={USER}{query}")).await.body };
    assert_eq!(list("").await, page(&[], 0, 10, 0, 0), "nobody has ordered");

    let mut orders = Vec::new();
    for n in 1..=12 {
        orders.insert(0, client.order(&order_with(json!({"amount": n}))).await);
    }
    client.order(&order_with(json!({"userId": NOBODY}))).await;
    client.post("/sagas/parcel", &json!({"input": {"userId": USER}})).await;

    assert_eq!(list("").await, page(&orders[..10], 0, 10, 12, 2), "newest first");
    assert_eq!(list("&page=1").await, page(&orders[10..], 1, 10, 12, 2));
    assert_eq!(list("&page=1&size=5").await, page(&orders[5..10], 1, 5, 12, 3));
    assert_eq!(list("&size=12").await, page(&orders, 0, 12, 12, 1));
    assert_eq!(list("&size=100").await, page(&orders, 0, 100, 12, 1));
    let past = list("&page=7").await;
    assert_eq!(past, page(&[], 7, 10, 12, 2), "past the end");
    assert_eq!((&past["first"], &past["last"], &past["empty"]), (&json!(false), &json!(true), &json!(true)));
    assert_eq!(list("&page=2147483647&size=100").await["content"], json!([]));

    let nobody = client.get(&format!("/orders?userId={}", NOBODY.to_uppercase())).await.body;
    assert_eq!(nobody["totalElements"], 1);
}

#[tokio::test]
async fn what_a_list_is_asked_with() {
    let server = Server::start().await;
    let user = format!("userId={USER}");
    for (query, wrong) in [
        (String::new(), &[("userId", "REQUIRED")][..]),
        ("userId=me".to_owned(), &[("userId", "INVALID_UUID")]),
        ("userId=".to_owned(), &[("userId", "INVALID_UUID")]),
        (format!("{user}&{user}"), &[("userId", "DUPLICATE_KEY")]),
        (format!("{user}&size=0"), &[("size", "INVALID_VALUE")]),
        (format!("{user}&size=101"), &[("size", "INVALID_VALUE")]),
        (format!("{user}&size=ten"), &[("size", "INVALID_VALUE")]),
        (format!("{user}&page=-1"), &[("page", "INVALID_VALUE")]),
        (format!("{user}&page=1.0"), &[("page", "INVALID_VALUE")]),
        (format!("{user}&page="), &[("page", "INVALID_VALUE")]),
        (format!("{user}&page=2147483648"), &[("page", "INVALID_VALUE")]),
        (format!("{user}&page=99999999999999999999999"), &[("page", "INVALID_VALUE")]),
        (format!("{user}&sort=createdAt"), &[("sort", "UNKNOWN_FIELD")]),
        (format!("{user}&userID={USER}"), &[("userID", "UNKNOWN_FIELD")]),
        // All of it at once.
        (
            "page=x&size=y&z=1".to_owned(),
            &[("page", "INVALID_VALUE"), ("size", "INVALID_VALUE"), ("userId", "REQUIRED"), ("z", "UNKNOWN_FIELD")],
        ),
    ] {
        let reply = server.client().get(&format!("/orders?{query}")).await;
        assert_eq!(reply.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{query}");
        let wrong: Vec<_> = wrong.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect();
        assert_eq!(codes(&reply), wrong, "{query}");
    }
}
