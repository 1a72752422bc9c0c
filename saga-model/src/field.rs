//! What is wrong with a field of a request.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::json::{Json, Value, pointer_token};

/// Why a field was refused: the public codes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldCode {
    Required,
    WrongType,
    InvalidUuid,
    InvalidAmount,
    InvalidQuantity,
    InvalidCurrency,
    InvalidPaymentMethod,
    EmptyItems,
    TooManyItems,
    DuplicateItem,
    DuplicateKey,
    UnknownField,
    InvalidValue,
    TooLong,
}

/// A field that was refused: where it stands (RFC 6901, without `#`), the code, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldError {
    pub pointer: String,
    pub code: FieldCode,
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: FieldCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Completes the errors of a body, or of the part of it at the pointer `at`: a NUL is `INVALID_VALUE` wherever it stands,
/// in fields that nobody knows too, once at each pointer. That a text with one had better been no text is not said beside.
pub fn note_nul(json: &Json<'_>, at: &str, errors: &mut Vec<FieldError>) {
    // JSON can write it in no other way.
    if !json.raw.get().contains("\\u0000") {
        return;
    }
    let mut nuls = Nuls::default();
    nuls.find(json, at);
    errors.retain(|error| error.code != FieldCode::WrongType || !nuls.texts.contains(&error.pointer));
    let noted = errors.iter().filter(|error| error.code == FieldCode::InvalidValue);
    let mut noted: BTreeSet<String> = noted.map(|error| error.pointer.clone()).collect();
    errors.extend(nuls.errors.into_iter().filter(|error| noted.insert(error.pointer.clone())));
}

/// Where NULs stand.
#[derive(Default)]
struct Nuls {
    errors: Vec<FieldError>,
    /// The pointers of those that are in a value, not in a name.
    texts: BTreeSet<String>,
}

impl Nuls {
    fn find(&mut self, json: &Json<'_>, at: &str) {
        match &json.value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => {
                if text.contains('\0') {
                    self.note(at, "a text may not contain NUL");
                    self.texts.insert(at.to_owned());
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.find(item, &format!("{at}/{index}"));
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    let pointer = format!("{at}/{}", pointer_token(key));
                    if key.contains('\0') {
                        self.note(&pointer, "a name may not contain NUL");
                    }
                    self.find(value, &pointer);
                }
            }
        }
    }

    fn note(&mut self, pointer: &str, detail: &str) {
        self.errors.push(FieldError::new(pointer, FieldCode::InvalidValue, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn a_nul_is_told_once_wherever_it_stands() {
        use FieldCode::{InvalidValue, Required, UnknownField, WrongType};
        let body = r#"{"a": "\u0000", "b": ["\u0000", {"\u0000": "\u0000"}], "c": "\\u0000", "d\u0000": null}"#;
        let wrong = |pointer: &str, code| FieldError::new(format!("/body{pointer}"), code, "before");
        let before = [
            ("/a", WrongType),
            ("/b", WrongType),
            ("/b/0", InvalidValue),
            ("/c", WrongType),
            ("/d\0", WrongType),
            ("/d\0", UnknownField),
            ("/e", Required),
        ];
        let mut errors: Vec<FieldError> = before.iter().map(|(pointer, code)| wrong(pointer, *code)).collect();
        note_nul(&parse(body.as_bytes()).unwrap(), "/body", &mut errors);
        let found: Vec<_> =
            errors.iter().map(|error| (error.pointer.trim_start_matches("/body"), error.code)).collect();
        let added = [("/a", InvalidValue), ("/b/1/\0", InvalidValue), ("/d\0", InvalidValue)];
        assert_eq!(found, [&before[1..], &added].concat());
    }

    #[test]
    fn without_one_nothing_is_added() {
        let mut errors = vec![FieldError::new("/a", FieldCode::WrongType, "no")];
        note_nul(&parse(br#"{"a": "\\u0000", "b": "\u0001"}"#).unwrap(), "", &mut errors);
        assert_eq!(errors, [FieldError::new("/a", FieldCode::WrongType, "no")]);
    }
}
