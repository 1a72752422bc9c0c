//! Reading an order from a request: every wrong field at once.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Order, PAYMENT_METHODS, currency};
use crate::field::{FieldCode, FieldError, note_nul};
use crate::ids::parse_uuid;
use crate::json::{Json, Value, pointer_token};
use crate::money::Amount;

const FIELDS: [&str; 5] = ["userId", "amount", "items", "currency", "paymentMethod"];

impl Order {
    /// Reads an order from `json`, which stands at the pointer `at` of the request (`""` for a whole body).
    ///
    /// # Errors
    /// All that is wrong with it: in the order of the text, then missing fields, NULs where none else is told, duplicates.
    pub fn parse(json: &Json<'_>, at: &str) -> Result<Self, Vec<FieldError>> {
        let Some(members) = json.as_object() else {
            return Err(vec![FieldError::new(at, FieldCode::WrongType, "an order is a JSON object")]);
        };
        let mut reader = Reader { at, errors: Vec::new() };
        let mut strange = BTreeSet::new();
        for (key, _) in members {
            if FIELDS.contains(&key.as_ref()) || !strange.insert(key) {
                continue; // that a key stands twice is told below
            }
            if key.contains('\0') {
                reader.wrong(key, FieldCode::InvalidValue, "a name may not contain NUL");
            } else {
                let known = FIELDS.join(", ");
                reader.wrong(key, FieldCode::UnknownField, format!("there is no such field; an order has {known}"));
            }
        }
        let user_id = reader.required(json, "userId", Reader::uuid);
        let amount = reader.required(json, "amount", Reader::amount);
        let items = reader.required(json, "items", Reader::items);
        let currency = reader.optional(json, "currency", Reader::currency);
        let payment_method = reader.optional(json, "paymentMethod", Reader::payment_method);
        note_nul(json, at, &mut reader.errors);
        for pointer in json.duplicate_keys() {
            let detail = "the same key stands before";
            reader.errors.push(FieldError::new(format!("{at}{pointer}"), FieldCode::DuplicateKey, detail));
        }
        match (user_id, amount, items) {
            (Some(user_id), Some(amount), Some(items)) if reader.errors.is_empty() => Ok(Self {
                user_id,
                amount,
                currency: currency.unwrap_or_else(|| Self::DEFAULT_CURRENCY.to_owned()),
                items,
                payment_method,
            }),
            _ => Err(reader.errors), // whatever is missing left an error
        }
    }
}

struct Reader<'p> {
    at: &'p str,
    errors: Vec<FieldError>,
}

/// Reads one field; on `None` it has left an error.
type Read<'p, T> = fn(&mut Reader<'p>, &str, &Json<'_>) -> Option<T>;

impl<'p> Reader<'p> {
    fn wrong(&mut self, path: &str, code: FieldCode, detail: impl Into<String>) {
        self.wrong_at(format!("{}/{}", self.at, pointer_token(path)), code, detail);
    }

    fn wrong_at(&mut self, pointer: String, code: FieldCode, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, code, detail));
    }

    fn required<T>(&mut self, json: &Json<'_>, field: &str, read: Read<'p, T>) -> Option<T> {
        match json.get(field) {
            Some(value) => read(self, field, value),
            None => {
                self.wrong(field, FieldCode::Required, "this field is required");
                None
            }
        }
    }

    fn optional<T>(&mut self, json: &Json<'_>, field: &str, read: Read<'p, T>) -> Option<T> {
        json.get(field).and_then(|value| read(self, field, value))
    }

    /// A string without NUL.
    fn text<'j>(&mut self, field: &str, json: &'j Json<'_>) -> Option<&'j str> {
        match json.as_str() {
            None => self.wrong(field, FieldCode::WrongType, "this field is a string"),
            Some(text) if text.contains('\0') => {
                self.wrong(field, FieldCode::InvalidValue, "a text may not contain NUL")
            }
            Some(text) => return Some(text),
        }
        None
    }

    fn uuid(&mut self, field: &str, json: &Json<'_>) -> Option<Uuid> {
        let text = self.text(field, json)?;
        let uuid = parse_uuid(text);
        if let Err(error) = &uuid {
            self.wrong(field, FieldCode::InvalidUuid, error.to_string());
        }
        uuid.ok()
    }

    fn amount(&mut self, field: &str, json: &Json<'_>) -> Option<Amount> {
        let text = match &json.value {
            Value::Number(text) => text,
            Value::String(text) if text.contains('\0') => return self.text(field, json).and(None),
            Value::String(text) => text.as_ref(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.wrong(field, FieldCode::WrongType, "an amount is a number or a string");
                return None;
            }
        };
        let amount = Amount::parse(text);
        if let Err(error) = &amount {
            self.wrong(field, FieldCode::InvalidAmount, error.to_string());
        }
        amount.ok()
    }

    fn currency(&mut self, field: &str, json: &Json<'_>) -> Option<String> {
        let text = self.text(field, json)?;
        if !currency::is_active(text) {
            let detail = "not an active ISO 4217 code, such as USD";
            self.wrong(field, FieldCode::InvalidCurrency, detail);
            return None;
        }
        Some(text.to_owned())
    }

    fn payment_method(&mut self, field: &str, json: &Json<'_>) -> Option<String> {
        let text = self.text(field, json)?;
        if !PAYMENT_METHODS.contains(&text) {
            let detail = format!("not one of {}", PAYMENT_METHODS.join(", "));
            self.wrong(field, FieldCode::InvalidPaymentMethod, detail);
            return None;
        }
        Some(text.to_owned())
    }

    fn items(&mut self, field: &str, json: &Json<'_>) -> Option<Vec<(Uuid, u32)>> {
        let Some(members) = json.as_object() else {
            self.wrong(field, FieldCode::WrongType, "items is an object of product id to quantity");
            return None;
        };
        let errors_before = self.errors.len();
        if members.len() > Order::MAX_LINES {
            let detail = format!("an order has at most {} lines", Order::MAX_LINES);
            self.wrong(field, FieldCode::TooManyItems, detail);
        }
        let (mut items, mut seen) = (Vec::with_capacity(members.len()), BTreeSet::new());
        let mut keys = BTreeSet::new();
        for (key, json) in members {
            let pointer = format!("{}/{field}/{}", self.at, pointer_token(key));
            let id = self.item_id(&pointer, key);
            let quantity = self.quantity(&pointer, json);
            if !keys.insert(key) {
                continue; // a DUPLICATE_KEY, found by the caller
            }
            if let (Some(id), false) = (id, id.is_none_or(|id| seen.insert(id))) {
                let detail = format!("product {id} stands in this order before");
                self.wrong_at(pointer, FieldCode::DuplicateItem, detail);
            }
            items.extend(id.zip(quantity));
        }
        if self.errors.len() > errors_before {
            return None;
        }
        if items.iter().all(|(_, quantity)| *quantity == 0) {
            self.wrong(field, FieldCode::EmptyItems, "an order asks for at least one unit of something");
            return None;
        }
        Some(items)
    }

    fn item_id(&mut self, pointer: &str, key: &str) -> Option<Uuid> {
        let code = if key.contains('\0') { FieldCode::InvalidValue } else { FieldCode::InvalidUuid };
        let id = parse_uuid(key);
        if let Err(error) = &id {
            self.wrong_at(pointer.to_owned(), code, format!("a product id is a UUID: {error}"));
        }
        id.ok()
    }

    fn quantity(&mut self, pointer: &str, json: &Json<'_>) -> Option<u32> {
        let Some(text) = json.as_number() else {
            self.wrong_at(pointer.to_owned(), FieldCode::WrongType, "a quantity is a number");
            return None;
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let quantity = text.parse::<u32>().ok().filter(|n| digits && *n <= Order::MAX_QUANTITY);
        if quantity.is_none() {
            let detail = format!("a quantity is a whole number from 0 to {}", Order::MAX_QUANTITY);
            self.wrong_at(pointer.to_owned(), FieldCode::InvalidQuantity, detail);
        }
        quantity
    }
}

#[cfg(test)]
mod tests;
