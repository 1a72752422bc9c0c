//! The body of `PUT /admin/inventory/{sku}`: every wrong field at once.

use saga_model::field::FieldCode;
use saga_model::json::Json;
use service::http::Fields;
use service::problem::Problem;

use crate::shop::stock::MAX_ON_HAND;

/// How many units there are to be, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SetStock {
    pub(super) on_hand: i64,
    pub(super) reason: String,
}

impl SetStock {
    pub(super) fn read(json: &Json<'_>) -> Result<Self, Problem> {
        let mut fields = Fields::of(json, &["onHand", "reason"])?;
        let number = fields.required("onHand").map(on_hand);
        let on_hand = match number {
            Some(Ok(on_hand)) => Some(on_hand),
            Some(Err((code, detail))) => {
                fields.wrong("onHand", code, detail);
                None
            }
            None => None, // noted as missing
        };
        let reason = fields.reason().map(str::to_owned);
        fields.finish(|| Some(Self { on_hand: on_hand?, reason: reason? }))
    }
}

fn on_hand(json: &Json<'_>) -> Result<i64, (FieldCode, String)> {
    let text = json.as_number().ok_or((FieldCode::WrongType, "this field is a number".to_owned()))?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (0..=MAX_ON_HAND).contains(n));
    number.ok_or_else(|| (FieldCode::InvalidQuantity, format!("write a whole number from 0 to {MAX_ON_HAND}")))
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
            (r#"{"onHand": "\u0000", "reason": "x"}"#, "/onHand", InvalidValue),
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
