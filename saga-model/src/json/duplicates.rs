//! Keys that stand twice in an object, and where.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Json, Value};

/// So many are told, and no more once their pointers take so many bytes together: a short text can hold thousands of
/// duplicates under one long key, and all of their pointers would take a thousand times its size.
const MOST: usize = 100;
const MOST_BYTES: usize = 64 * 1024;

impl Json<'_> {
    /// The JSON Pointers (RFC 6901) of the members whose key stands in their object before: each once, up to a bound that
    /// no honest text comes near.
    pub fn duplicate_keys(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.has_duplicates() {
            self.collect_duplicates(&mut String::new(), &mut found);
        }
        found
    }

    /// Whether there are any: without the pointers, for nearly every message has none.
    fn has_duplicates(&self) -> bool {
        /// So few members are compared with each other faster than sorted.
        const FEW: usize = 16;
        match &self.value {
            Value::Object(members) => {
                let twice = if members.len() <= FEW {
                    let before =
                        |(i, (key, _)): (usize, &(Cow<'_, str>, _))| members[..i].iter().any(|(k, _)| k == key);
                    members.iter().enumerate().any(before)
                } else {
                    let mut seen = BTreeSet::new();
                    !members.iter().all(|(key, _)| seen.insert(key))
                };
                twice || members.iter().any(|(_, value)| value.has_duplicates())
            }
            Value::Array(items) => items.iter().any(Json::has_duplicates),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn collect_duplicates(&self, at: &mut String, found: &mut Vec<String>) {
        let length = at.len();
        match &self.value {
            Value::Object(members) => {
                let mut seen = BTreeSet::new();
                for (key, value) in members {
                    if found.len() >= MOST || found.iter().map(String::len).sum::<usize>() >= MOST_BYTES {
                        return;
                    }
                    at.push('/');
                    at.push_str(&pointer_token(key));
                    if !seen.insert(key) && !found.contains(at) {
                        found.push(at.clone());
                    }
                    value.collect_duplicates(at, found);
                    at.truncate(length);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    at.push('/');
                    at.push_str(&i.to_string());
                    item.collect_duplicates(at, found);
                    at.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// A key as a token of a JSON Pointer (RFC 6901: `~` as `~0`, `/` as `~1`).
pub fn pointer_token(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { Cow::Owned(key.replace('~', "~0").replace('/', "~1")) } else { Cow::Borrowed(key) }
}
