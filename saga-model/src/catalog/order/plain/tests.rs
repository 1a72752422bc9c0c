use proptest::prelude::*;

use super::*;
use crate::json::parse;

const USER: &str = "11111111-1111-1111-1111-111111111111";
const A: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
const B: &str = "BBBBBBBB-bbbb-bbbb-bbbb-bbbbbbbbbbbb";

fn whole() -> String {
    format!(
        "{{\"userId\":\"{USER}\", \"amount\": \"499.90\",\n\"items\":{{\"{B}\":2,\"{A}\":0}},\
         \"currency\":\"EUR\",\"paymentMethod\":\"pm_approve\"}}"
    )
}

/// What is taken the straight way is taken the other way too, as the same.
#[track_caller]
fn agrees(body: &[u8]) -> Option<Order> {
    let plain = Order::plain(body);
    if let Some(order) = &plain {
        let json = parse(body).expect("what is read is JSON");
        assert_eq!(Order::parse(&json, ""), Ok(order.clone()), "{}", String::from_utf8_lossy(body));
    }
    plain
}

#[test]
fn an_order_without_faults_is_read() {
    let order = agrees(whole().as_bytes()).unwrap();
    assert_eq!((order.items[0].1, order.items[1].1, order.currency.as_str()), (2, 0, "EUR"));
    let least = format!("{{\"items\":{{\"{A}\":1}},\"amount\":500.0,\"userId\":\"{USER}\"}}");
    assert_eq!(agrees(least.as_bytes()).unwrap().currency, "USD");
}

#[test]
fn whatever_is_out_of_the_ordinary_is_left_to_the_other() {
    for (part, other) in [
        ("\"EUR\"", "null"),
        ("\"EUR\"", "\"XXX\""),
        ("\"EUR\"", "\"\\u0045UR\""),
        ("\"pm_approve\"", "null"),
        ("\"pm_approve\"", "\"pm_none\""),
        ("\"499.90\"", "null"),
        ("\"499.90\"", "\"\\u0031\""),
        ("\"499.90\"", "\"\""),
        ("\"499.90\"", "\"\"1\"\""),
        ("\"499.90\"", "[1]"),
        ("\"499.90\"", "1e2"),
        (USER, "1"),
        (":0", ":1000001"),
        (":0", ":-0"),
        (":0", ":1.0"),
        (":0", ":1e0"),
        (":0", ":\"1\""),
        (":0", ":null"),
        (":0", ":\"\\u0000\""),
        ("\"499.90\"", "\"\\u0000\""),
        ("\"EUR\"", "\"\\u0000\""),
        (":2", ":0"),
        (A, B),
        (A, "BBBBBBBB-BBBB-BBBB-BBBB-BBBBBBBBBBBB"),
        (A, "a"),
        ("currency", "userId"),
        ("currency", "colour"),
        ("approve\"}", "approve\"} x"),
        ("approve\"}", "approve\""),
    ] {
        let body = whole().replacen(part, other, 1);
        assert_ne!(body, whole(), "{part}");
        assert_eq!(agrees(body.as_bytes()), None, "{body}");
    }
    let list = format!("[\"{USER}\",499.90,{{\"{A}\":1}}]");
    assert_eq!(agrees(list.as_bytes()), None);
    assert_eq!(agrees(format!(" {list}").as_bytes()), None);
    let many: Vec<_> = (0..101).map(|i| format!("\"{i:08x}-0000-0000-0000-000000000000\":1")).collect();
    let body = |lines: &[String]| whole().replacen(&format!("\"{A}\":0"), &lines.join(","), 1);
    assert_eq!(agrees(body(&many[..100]).as_bytes()), None);
    assert!(agrees(body(&many[..99]).as_bytes()).is_some());
    assert_eq!(agrees(b"\xff"), None);
}

proptest! {
    #[test]
    fn bytes_put_out_of_place(changes in proptest::collection::vec((any::<proptest::sample::Index>(), "[ -~]|\n|\0|é"), 1..3)) {
        let mut body = whole();
        for (at, with) in changes {
            let at = at.index(body.len());
            if body.is_char_boundary(at) && body.is_char_boundary(at + 1) {
                body.replace_range(at..=at, &with);
            }
        }
        agrees(body.as_bytes());
    }
}
