use super::*;
use crate::json::parse;

const USER: &str = "11111111-1111-1111-1111-111111111111";
const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

fn order(body: &str) -> Result<Order, Vec<(String, FieldCode)>> {
    Order::parse(&parse(body.as_bytes()).unwrap(), "")
        .map_err(|errors| errors.into_iter().map(|e| (e.pointer, e.code)).collect())
}

/// A good order with the member `name` replaced by the JSON text `value`, or left out.
fn with(name: &str, value: Option<&str>) -> String {
    let user = format!("\"{USER}\"");
    let items = format!("{{\"{A}\": 2}}");
    let mut members = vec![("userId", user.as_str()), ("amount", "500"), ("items", items.as_str())];
    members.retain(|(key, _)| *key != name);
    members.extend(value.map(|value| (name, value)));
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

#[test]
fn what_the_page_of_the_shop_sends() {
    let body = format!(
        r#"{{"userId": "{USER}", "amount": 500, "items": {{"{}": 2, "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb": 0}}}}"#,
        A.to_uppercase()
    );
    let order = order(&body).unwrap();
    assert_eq!(
        order.to_input().unwrap().get(),
        format!(
            r#"{{"userId":"{USER}","amount":500,"currency":"USD","items":{{"{A}":2,"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb":0}}}}"#
        )
    );
}

#[test]
fn one_wrong_field() {
    use FieldCode::*;
    let many = format!(
        "{{{}}}",
        (0..101).map(|i| format!("\"{i:08x}-0000-0000-0000-000000000000\": 1")).collect::<Vec<_>>().join(",")
    );
    let item = |quantity: &str| format!("{{\"{A}\": {quantity}}}");
    let at_item = format!("/items/{A}");
    let cases: Vec<(&str, Option<String>, &str, FieldCode)> = vec![
        ("userId", None, "/userId", Required),
        ("userId", Some("null".into()), "/userId", WrongType),
        ("userId", Some("1".into()), "/userId", WrongType),
        ("userId", Some("\"1\"".into()), "/userId", InvalidUuid),
        ("userId", Some("\"1\\u0000\"".into()), "/userId", InvalidValue),
        ("amount", None, "/amount", Required),
        ("amount", Some("true".into()), "/amount", WrongType),
        ("amount", Some("0".into()), "/amount", InvalidAmount),
        ("amount", Some("-5".into()), "/amount", InvalidAmount),
        ("amount", Some("1e3".into()), "/amount", InvalidAmount),
        ("amount", Some("1e999".into()), "/amount", InvalidAmount),
        ("amount", Some("\"1.234\"".into()), "/amount", InvalidAmount),
        ("amount", Some("1000000000".into()), "/amount", InvalidAmount),
        ("items", None, "/items", Required),
        ("items", Some("[]".into()), "/items", WrongType),
        ("items", Some("{}".into()), "/items", EmptyItems),
        ("items", Some(item("0")), "/items", EmptyItems),
        ("items", Some(many), "/items", TooManyItems),
        ("items", Some(item("-0")), &at_item, InvalidQuantity),
        ("items", Some(item("-1")), &at_item, InvalidQuantity),
        ("items", Some(item("1.5")), &at_item, InvalidQuantity),
        ("items", Some(item("1e2")), &at_item, InvalidQuantity),
        ("items", Some(item("1000001")), &at_item, InvalidQuantity),
        ("items", Some(item("99999999999999999999")), &at_item, InvalidQuantity),
        ("items", Some(item("\"2\"")), &at_item, WrongType),
        ("items", Some(item("null")), &at_item, WrongType),
        ("items", Some("{\"a/b\": 1}".into()), "/items/a~1b", InvalidUuid),
        ("currency", Some("\"usd\"".into()), "/currency", InvalidCurrency),
        ("currency", Some("null".into()), "/currency", WrongType),
        ("paymentMethod", Some("\"visa\"".into()), "/paymentMethod", InvalidPaymentMethod),
        ("paymentMethod", Some("null".into()), "/paymentMethod", WrongType),
        ("totalAmount", Some("1".into()), "/totalAmount", UnknownField),
        // A NUL, whatever should stand there.
        ("amount", Some("\"\\u0000\"".into()), "/amount", InvalidValue),
        ("items", Some("\"\\u0000\"".into()), "/items", InvalidValue),
        ("items", Some(item("\"\\u0000\"")), &at_item, InvalidValue),
        ("currency", Some("\"\\u0000\"".into()), "/currency", InvalidValue),
    ];
    for (name, value, pointer, code) in cases {
        let body = with(name, value.as_deref());
        assert_eq!(order(&body).unwrap_err(), [(pointer.to_owned(), code)], "{body}");
    }
}

#[test]
fn every_wrong_field_at_once() {
    let mut errors =
        order(r#"{"amount": 0, "items": {"x": -1}, "currency": "E", "paymentMethod": 1, "zzz": 1}"#).unwrap_err();
    errors.sort();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/amount", "/currency", "/items/x", "/items/x", "/paymentMethod", "/userId", "/zzz"]);
}

#[test]
fn a_body_that_is_no_object() {
    for body in ["1", "[]", "null", "\"a\""] {
        assert_eq!(order(body).unwrap_err(), [(String::new(), FieldCode::WrongType)]);
    }
}

#[test]
fn duplicates() {
    let upper = A.to_uppercase();
    let same_id = with("items", Some(&format!("{{\"{A}\": 1, \"{upper}\": 1}}")));
    assert_eq!(order(&same_id).unwrap_err(), [(format!("/items/{upper}"), FieldCode::DuplicateItem)]);
    let same_key = with("items", Some(&format!("{{\"{A}\": 1, \"{A}\": 1}}")));
    assert_eq!(order(&same_key).unwrap_err(), [(format!("/items/{A}"), FieldCode::DuplicateKey)]);
    let twice = with("userId", Some(&format!("\"{USER}\", \"amount\": 5")));
    assert_eq!(order(&twice).unwrap_err(), [("/amount".to_owned(), FieldCode::DuplicateKey)]);
}

#[test]
fn equal_after_parsing_is_the_same_order() {
    let print = |body: &str| order(body).unwrap().fingerprint();
    let plain = print(&with("amount", Some("500")));
    assert_eq!(plain, print(&with("amount", Some("\"500.00\""))));
    assert_eq!(plain, print(&with("currency", Some("\"USD\""))));
    assert_eq!(plain, print(&with("items", Some(&format!("{{\"{}\": 2}}", A.to_uppercase())))));
    assert_ne!(plain, print(&with("currency", Some("\"EUR\""))));
    assert_ne!(plain, print(&with("amount", Some("500.01"))));
    assert_ne!(plain, print(&with("items", Some(&format!("{{\"{A}\": 3}}")))));
    assert_ne!(plain, print(&with("paymentMethod", Some("\"pm_approve\""))));
}
