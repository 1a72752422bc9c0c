//! The body of `PUT /admin/inventory/{sku}`: every wrong field at once.

use saga_model::field::{FieldCode, FieldError};
use saga_model::json::{Json, pointer_token};
use service::problem::Problem;

use crate::shop::stock::MAX_ON_HAND;

/// How many units there are to be, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SetStock {
    pub(super) on_hand: i64,
    pub(super) reason: String,
}

/// The longest reason, in characters.
const MAX_REASON: usize = 1_000;

impl SetStock {
    pub(super) fn read(json: &Json<'_>) -> Result<Self, Problem> {
        let Some(members) = json.as_object() else {
            let error = FieldError::new("", FieldCode::WrongType, "the body is a JSON object");
            return Err(Problem::validation([error]));
        };
        let mut errors = Vec::new();
        for (key, _) in members {
            let (code, detail) = match key.as_ref() {
                "onHand" | "reason" => continue,
                key if key.contains('\0') => (FieldCode::InvalidValue, "a name may not contain NUL"),
                _ => (FieldCode::UnknownField, "there is no such field; the body has onHand and reason"),
            };
            errors.push(FieldError::new(format!("/{}", pointer_token(key)), code, detail));
        }
        let on_hand = field(json, "onHand", &mut errors, on_hand);
        let reason = field(json, "reason", &mut errors, reason);
        for pointer in json.duplicate_keys() {
            errors.push(FieldError::new(pointer, FieldCode::DuplicateKey, "the same key stands before"));
        }
        match (on_hand, reason) {
            (Some(on_hand), Some(reason)) if errors.is_empty() => Ok(Self { on_hand, reason }),
            _ => Err(Problem::validation(errors)), // whatever is none left an error
        }
    }
}

/// The reason in a body, if it is a usable one: for the record of a call that was refused for something else.
pub(super) fn usable_reason(json: &Json<'_>) -> Option<String> {
    json.get("reason").and_then(|json| reason(json).ok())
}

type Wrong = (FieldCode, String);

fn field<T>(
    json: &Json<'_>,
    name: &str,
    errors: &mut Vec<FieldError>,
    read: fn(&Json<'_>) -> Result<T, Wrong>,
) -> Option<T> {
    let required = || Err((FieldCode::Required, "this field is required".to_owned()));
    json.get(name)
        .map_or_else(required, read)
        .map_err(|(code, detail)| errors.push(FieldError::new(format!("/{name}"), code, detail)))
        .ok()
}

fn on_hand(json: &Json<'_>) -> Result<i64, Wrong> {
    let text = json.as_number().ok_or((FieldCode::WrongType, "this field is a number".to_owned()))?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (0..=MAX_ON_HAND).contains(n));
    number.ok_or_else(|| (FieldCode::InvalidQuantity, format!("write a whole number from 0 to {MAX_ON_HAND}")))
}

fn reason(json: &Json<'_>) -> Result<String, Wrong> {
    let text = json.as_str().ok_or((FieldCode::WrongType, "this field is a string".to_owned()))?;
    if text.contains('\0') || text.trim().is_empty() {
        return Err((FieldCode::InvalidValue, "write why, in words, without NUL".to_owned()));
    }
    if text.chars().nth(MAX_REASON).is_some() {
        return Err((FieldCode::TooLong, format!("write at most {MAX_REASON} characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<SetStock, (String, FieldCode)> {
        SetStock::read(&saga_model::json::parse(body.as_bytes()).unwrap()).map_err(|problem| {
            let (place, code, _) = problem.first_error().unwrap();
            (place.to_owned(), code)
        })
    }

    #[test]
    fn reads_what_is_right() {
        let set = |on_hand, reason: &str| Ok(SetStock { on_hand, reason: reason.to_owned() });
        assert_eq!(read(r#"{"onHand": 0, "reason": "x"}"#), set(0, "x"));
        assert_eq!(read(r#"{"reason": " new stock ", "onHand": 4503599627370496}"#), set(1 << 52, " new stock "));
    }

    #[test]
    fn refuses_what_is_wrong() {
        use FieldCode::{DuplicateKey, InvalidQuantity, InvalidValue, Required, TooLong, UnknownField, WrongType};
        let long = format!(r#"{{"onHand": 1, "reason": "{}"}}"#, "é".repeat(1_001));
        for (body, pointer, code) in [
            ("[]", "", WrongType),
            ("3", "", WrongType),
            ("{}", "/onHand", Required),
            (r#"{"onHand": 1}"#, "/reason", Required),
            (r#"{"onHand": "1", "reason": "x"}"#, "/onHand", WrongType),
            (r#"{"onHand": null, "reason": "x"}"#, "/onHand", WrongType),
            (r#"{"onHand": -1, "reason": "x"}"#, "/onHand", InvalidQuantity),
            (r#"{"onHand": -0, "reason": "x"}"#, "/onHand", InvalidQuantity),
            (r#"{"onHand": 1.0, "reason": "x"}"#, "/onHand", InvalidQuantity),
            (r#"{"onHand": 4503599627370497, "reason": "x"}"#, "/onHand", InvalidQuantity),
            (r#"{"onHand": 99999999999999999999, "reason": "x"}"#, "/onHand", InvalidQuantity),
            (r#"{"onHand": 1, "reason": 1}"#, "/reason", WrongType),
            (r#"{"onHand": 1, "reason": " \t"}"#, "/reason", InvalidValue),
            (r#"{"onHand": 1, "reason": "a\u0000"}"#, "/reason", InvalidValue),
            (&long, "/reason", TooLong),
            (r#"{"onHand": 1, "reason": "x", "a/b": 1}"#, "/a~1b", UnknownField),
            (r#"{"onHand": 1, "reason": "x", "onHand": 2}"#, "/onHand", DuplicateKey),
        ] {
            assert_eq!(read(body), Err((pointer.to_owned(), code)), "{body}");
        }
    }
}
