use proptest::prelude::*;

use super::*;
use crate::wire::reply::read_whole;

const WHOLE: &str = "{\"sagaId\":\"0192A1B2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"step\":\"charge-payment\",\n\"kind\":\"ACTION\", \
                     \"round\":1,\"attempt\":2,\"token\":\"abc\",\"outcome\":\"SUCCEEDED\",\
                     \"output\":{\"price\": 1.50,\"of\":[{\"a\":null,\"b\":\"\\u0041\"},-3,true]}}";

/// What is taken the straight way is taken the long way too, as the same.
#[track_caller]
fn agrees(bytes: &[u8]) -> Option<ReplyMessage> {
    let plain = read(bytes);
    if let Some(reply) = &plain {
        assert_eq!(read_whole(bytes), Ok(reply.clone()), "{}", String::from_utf8_lossy(bytes));
    }
    plain
}

#[test]
fn a_reply_without_faults_is_read() {
    let reply = agrees(WHOLE.as_bytes()).unwrap();
    assert!(reply.output.unwrap().get().starts_with("{\"price\": 1.50,"));
    let (least, _) = WHOLE.split_once(",\"output\"").unwrap();
    assert_eq!(agrees(format!("{least}}}").as_bytes()).unwrap().output, None);
}

#[test]
fn whatever_is_out_of_the_ordinary_is_left_to_the_other() {
    let (deep, long) = (format!("{}1{}", "[".repeat(31), "]".repeat(31)), "x".repeat(MAX_OUTPUT_BYTES));
    let many: Vec<_> = (0..17).map(|n| format!("\"{n}\":1")).collect();
    for (part, other) in [
        ("0192A1B2", "0192A1B"),
        ("charge-payment", "charge\\u002dpayment"),
        ("ACTION", "action"),
        (":1,", ":0,"),
        (":1,", ":1.0,"),
        (":1,", ":2147483648,"),
        (":2", ":-2"),
        (":2", ":\"2\""),
        (":2", ":null"),
        ("SUCCEEDED", "DONE"),
        ("\"output\":", "\"error\":{},\"output\":"),
        ("\"output\":", "\"step\":\"x\",\"output\":"),
        ("\"output\":", "\"new\":1,\"output\":"),
        ("\"output\":", "\"output\":null,\"output\":"),
        ("output", "outputs"),
        ("1.50", "1e999"),
        ("1.50", "1,\"price\":2"),
        ("\"b\"", "\"a\""),
        ("\"b\"", "\"\\u0061\""),
        ("\\u0041", "\\ud800"),
        ("1.50", &deep),
        ("\\u0041", &long),
        ("\"a\":null", &many.join(",")),
    ] {
        let text = WHOLE.replacen(part, other, 1);
        assert_ne!(text, WHOLE, "{part}");
        assert_eq!(agrees(text.as_bytes()), None, "{part} {other}");
    }
    let (head, _) = WHOLE.split_once("{\"price").unwrap();
    for output in ["null", "[]", "1", "\"{}\""] {
        assert_eq!(agrees(format!("{head}{output}}}").as_bytes()), None);
    }
    let list = "[\"0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\",\"a\",\"ACTION\",1,1,\"t\",\"SUCCEEDED\",{}]";
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
