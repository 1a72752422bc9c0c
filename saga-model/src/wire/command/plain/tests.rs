use proptest::prelude::*;

use super::*;
use crate::wire::command::read_whole;

const WHOLE: &str = "{\"sagaId\":\"0192A1B2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"step\":\"charge-payment\",\n\"kind\":\"ACTION\", \
                     \"round\":1,\"attempt\":2,\"idempotencyKey\":\"0192/charge-payment/1\",\"epoch\":7,\
                     \"deadline\":\"2026-11-25T09:36:03.000001Z\",\"token\":\"abc\",\
                     \"payload\":{\"price\": 1.50,\"of\":[{\"a\":null,\"b\":\"\\u0041\"},-3,true]}}";

/// What is taken the straight way is taken the long way too, as the same.
#[track_caller]
fn agrees(bytes: &[u8]) -> Option<Command> {
    let plain = read(bytes);
    if let Some(command) = &plain {
        assert_eq!(read_whole(bytes), Ok(command.clone()), "{}", String::from_utf8_lossy(bytes));
    }
    plain
}

#[test]
fn a_command_without_faults_is_read() {
    let command = agrees(WHOLE.as_bytes()).unwrap();
    assert!(command.payload.get().starts_with("{\"price\": 1.50,"));
    for (part, other) in
        [("\"epoch\":7,", ""), ("\"deadline\":\"2026-11-25T09:36:03.000001Z\",", ""), ("ACTION", "COMPENSATE")]
    {
        let text = WHOLE.replacen(part, other, 1);
        assert_ne!(text, WHOLE, "{part}");
        assert!(agrees(text.as_bytes()).is_some(), "{part} {other}");
    }
}

#[test]
fn whatever_is_out_of_the_ordinary_is_left_to_the_other() {
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    let many: Vec<_> = (0..17).map(|n| format!("\"{n}\":1")).collect();
    for (part, other) in [
        ("0192A1B2", "0192A1B"),
        ("charge-payment", "charge\\u002dpayment"),
        ("ACTION", "action"),
        (":1,", ":0,"),
        (":1,", ":2147483648,"),
        (":2", ":null"),
        ("\"2026-11-25T09:36:03.000001Z\"", "null"),
        ("\"2026-11-25T09:36:03.000001Z\"", "1"),
        (":7", ":null"),
        (":7", ":[\"any\"]"),
        (":7", ":\"\\ud800\""),
        ("\"token\":", "\"step\":\"x\",\"token\":"),
        ("\"token\":", "\"new\":1,\"token\":"),
        ("payload", "payloads"),
        ("1.50", "1e999"),
        ("1.50", "1,\"price\":2"),
        ("\"b\"", "\"\\u0061\""),
        ("\\u0041", "\\ud800"),
        ("1.50", &deep),
        ("\"a\":null", &many.join(",")),
    ] {
        let text = WHOLE.replacen(part, other, 1);
        assert_ne!(text, WHOLE, "{part}");
        assert_eq!(agrees(text.as_bytes()), None, "{part} {other}");
    }
    let (head, _) = WHOLE.split_once("{\"price").unwrap();
    for payload in ["null", "[]", "1", "\"{}\""] {
        assert_eq!(agrees(format!("{head}{payload}}}").as_bytes()), None);
    }
    let list = "[\"0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"a\",\"ACTION\",1,1,\"k\",7,\"d\",\"t\",{}]";
    for whole in [list.as_bytes(), b"", b"[]", b"\xff", format!("{WHOLE} x").as_bytes(), &[b' '; MAX_MESSAGE_BYTES + 1]]
    {
        assert_eq!(agrees(whole), None);
    }
}

proptest! {
    #[test]
    fn bytes_put_out_of_place(changes in proptest::collection::vec((any::<proptest::sample::Index>(), "[ -~]|\n|\0|é|\\{|\\}"), 1..3)) {
        let mut text = WHOLE.to_owned();
        for (at, with) in changes {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        agrees(text.as_bytes());
    }
}
