//! The straight way to an order that has no faults.
//!
//! It takes less than [`Order::parse`] does, and nothing that that would not take, or would take for something else: the
//! text is read once, and no tree is made of it. Where anything is out of the ordinary it gives up, for only the other
//! can say what is wrong.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Order, PAYMENT_METHODS, currency};
use crate::ids::parse_uuid;
use crate::json::{present, read_object};
use crate::money::Amount;

/// Texts are borrowed, so one that has an escape in it is none of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain<'a> {
    user_id: &'a str,
    #[serde(borrow)]
    amount: &'a RawValue,
    items: Items,
    #[serde(borrow, default, deserialize_with = "present")]
    currency: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "present")]
    payment_method: Option<&'a str>,
}

struct Items(Vec<(Uuid, u32)>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = Items;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of product id to quantity")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some((id, quantity)) = map.next_entry::<&str, u32>()? {
                    items.push((parse_uuid(id).map_err(Error::custom)?, quantity));
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_map(Lines)
    }
}

impl Items {
    fn are_sound(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.0.len() <= Order::MAX_LINES
            && self.0.iter().all(|(id, quantity)| *quantity <= Order::MAX_QUANTITY && seen.insert(*id))
            && self.0.iter().any(|(_, quantity)| *quantity > 0)
    }
}

/// A number, or a text that could stand as one.
fn amount(raw: &str) -> Option<Amount> {
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw);
    Amount::parse(text).ok()
}

impl Order {
    /// The order in a body that is one, if nothing about it is out of the ordinary; on `None`, [`Order::parse`] decides.
    pub fn plain(body: &[u8]) -> Option<Self> {
        let plain: Plain<'_> = read_object(body)?;
        let user_id = parse_uuid(plain.user_id).ok()?;
        let currency = plain.currency.unwrap_or(Self::DEFAULT_CURRENCY);
        let payable = plain.payment_method.is_none_or(|method| PAYMENT_METHODS.contains(&method));
        (currency::is_active(currency) && payable && plain.items.are_sound()).then_some(())?;
        Some(Self {
            user_id,
            amount: amount(plain.amount.get())?,
            currency: currency.to_owned(),
            items: plain.items.0,
            payment_method: plain.payment_method.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests;
