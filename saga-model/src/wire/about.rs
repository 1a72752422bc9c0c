//! Which saga a message is about, as far as that can be seen of one that cannot be read.

use crate::ids::SagaId;
use crate::json;

/// The saga that a message may be meant for: the one it names, or else its key, if that is an id. It is what the message
/// says: there may be no such saga, and it may have nothing to do with the message.
pub fn about(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<SagaId> {
    let named = || {
        let json = json::parse(value?).ok()?;
        // Events of the domain call it so.
        json.get("sagaId").or_else(|| json.get("orderId"))?.as_str()?.parse().ok()
    };
    let key = || std::str::from_utf8(key?).ok()?.parse().ok();
    named().or_else(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    const KEY: &str = "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5c";

    #[test]
    fn what_it_names_and_else_its_key() {
        let saga = |name: &str| format!(r#"{{"{name}": "{}", "x": 1}}"#, NAMED.to_uppercase());
        for (key, value, expected) in [
            (Some(KEY), Some(saga("sagaId")), Some(NAMED)),
            (None, Some(saga("orderId")), Some(NAMED)),
            (Some(KEY), Some(saga("id")), Some(KEY)),
            (Some(KEY), Some(r#"{"sagaId": 5}"#.to_owned()), Some(KEY)),
            (Some(KEY), Some(r#"{"sagaId": "none"}"#.to_owned()), Some(KEY)),
            (Some(KEY), Some("{".to_owned()), Some(KEY)),
            (Some(KEY), None, Some(KEY)),
            (Some("a key"), Some("[]".to_owned()), None),
            (None, None, None),
        ] {
            let found = about(key.map(str::as_bytes), value.as_deref().map(str::as_bytes));
            assert_eq!(found.map(|saga| saga.to_string()).as_deref(), expected, "{key:?} {value:?}");
        }
        assert_eq!(about(Some(b"\xff"), Some(b"\xff")), None);
    }
}
