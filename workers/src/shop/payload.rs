//! What the workers of the shop read of a payload. Fields that they do not know are left alone.

use std::borrow::Cow;
use std::fmt;

use saga_model::SagaId;
use saga_model::catalog::order::Order;
use saga_model::ids::parse_uuid;
use saga_model::json::present;
use saga_model::wire::command::Command;
use saga_model::wire::{DeadLetterCode, Unreadable};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::stock::Line;

/// A payload, as far as the shop knows it. Everything is optional here; what a worker needs, it asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    order_id: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    items: Option<Items>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) total_amount: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) currency: Option<Cow<'a, str>>,
    /// Also absent if it is null, as the order says it.
    #[serde(borrow, default)]
    pub(super) payment_method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) outcome: Option<Cow<'a, str>>,
}

/// Reads the payload of a command.
///
/// # Errors
/// If a field has a wrong type.
pub(super) fn read(command: &Command) -> Result<Payload<'_>, Unreadable> {
    serde_json::from_str(command.payload.get()).map_err(|error| wrong(format!("payload: {error}")))
}

impl Payload<'_> {
    /// The order; the saga's own id if none is named.
    ///
    /// # Errors
    /// If it is no UUID.
    pub(super) fn order(&self, saga: SagaId) -> Result<Uuid, Unreadable> {
        match &self.order_id {
            None => Ok(saga.uuid()),
            Some(text) => parse_uuid(text).map_err(|error| wrong(format!("payload.orderId: {error}"))),
        }
    }

    /// What is ordered: each product once, lines of 0 left out.
    ///
    /// # Errors
    /// If it is missing.
    pub(super) fn lines(&mut self) -> Result<Vec<Line>, Unreadable> {
        self.items.take().map(|items| items.0).ok_or_else(|| missing("payload.items"))
    }
}

pub(super) fn wrong(detail: impl AsRef<str>) -> Unreadable {
    Unreadable::new(DeadLetterCode::WrongType, detail)
}

pub(super) fn missing(field: &str) -> Unreadable {
    Unreadable::new(DeadLetterCode::MissingField, format!("{field} is missing"))
}

/// A text that can be stored: Postgres takes no NUL.
///
/// # Errors
/// If it has one.
pub(super) fn storable(field: &str, text: &str) -> Result<String, Unreadable> {
    if text.contains('\0') {
        return Err(wrong(format!("{field} contains a NUL character")));
    }
    Ok(text.to_owned())
}

#[derive(Debug)]
struct Items(Vec<Line>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of product id to quantity")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items, A::Error> {
                let mut lines: Vec<Line> = Vec::with_capacity(4);
                while let Some((key, quantity)) = map.next_entry::<Cow<'de, str>, u32>()? {
                    let sku =
                        parse_uuid(&key).map_err(|error| A::Error::custom(format!("product {key:?}: {error}")))?;
                    if quantity > Order::MAX_QUANTITY {
                        let most = Order::MAX_QUANTITY;
                        return Err(A::Error::custom(format!("product {sku}: a quantity is at most {most}")));
                    }
                    // The same id in two cases is one product. The sum fits: a message has room for 3,000 lines.
                    match lines.iter_mut().find(|line| line.sku == sku) {
                        Some(line) => line.quantity = line.quantity.saturating_add(quantity),
                        None if quantity > 0 => lines.push(Line { sku, quantity }),
                        None => {} // a line of 0 asks for nothing
                    }
                }
                Ok(Items(lines))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
