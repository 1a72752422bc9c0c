//! `order-fulfilment`: reserve stock, charge, notify.

mod currency;
mod parse;
mod plain;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::definition::{Blueprint, InputForm, SagaEvents, StepClass, StepDef, StepEvents};
use crate::json::RawJson;
use crate::money::Amount;

/// The name of the definition.
pub const NAME: &str = "order-fulfilment";

/// The definition as data.
pub fn blueprint() -> Blueprint {
    let topic = |name: &str| Some(name.to_owned());
    let step = |name: &str, class, topic: &str, events| StepDef {
        name: name.to_owned(),
        class,
        closing: false,
        topic: topic.to_owned(),
        events,
        timeout: None,
        attempts: None,
        compensation_attempts: None,
    };
    Blueprint {
        name: NAME.to_owned(),
        version: 1,
        input: InputForm::Order,
        steps: vec![
            step(
                "reserve-inventory",
                StepClass::Undoable,
                "inventory.commands",
                StepEvents {
                    succeeded: topic("inventory.reserved"),
                    failed: topic("inventory.rejected"),
                    undone: topic("inventory.released"),
                },
            ),
            step(
                "charge-payment",
                StepClass::Pivot,
                "payment.commands",
                StepEvents {
                    succeeded: topic("payment.success"),
                    failed: topic("payment.failed"),
                    undone: topic("payment.refunded"),
                },
            ),
            StepDef {
                closing: true,
                ..step("notify-customer", StepClass::Retriable, "notification.commands", StepEvents::default())
            },
        ],
        events: SagaEvents {
            started: topic("order.created"),
            confirmed: topic("order.confirmed"),
            cancelled: topic("order.cancelled"),
        },
    }
}

/// An order as it was asked for, checked. As JSON it is the input of its saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub user_id: Uuid,
    pub amount: Amount,
    /// An active ISO 4217 code.
    pub currency: String,
    /// In the order of the request; lines of 0 ask for nothing and are kept.
    #[serde(serialize_with = "as_map")]
    pub items: Vec<(Uuid, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
}

fn as_map<S: serde::Serializer>(items: &[(Uuid, u32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(items.iter().map(|(id, quantity)| (id, quantity)))
}

/// The ways to pay that the simulated gateway knows, in the manner of test cards.
pub const PAYMENT_METHODS: [&str; 6] =
    ["pm_approve", "pm_decline", "pm_flaky", "pm_timeout", "pm_hang", "pm_refund_fails"];

impl Order {
    /// The currency of an order that names none.
    pub const DEFAULT_CURRENCY: &str = "USD";
    /// The most lines of an order.
    pub const MAX_LINES: usize = 100;
    /// The largest quantity of a line.
    pub const MAX_QUANTITY: u32 = 1_000_000;

    /// The input of its saga.
    ///
    /// # Errors
    /// Never in practice: an order is plain data.
    pub fn to_input(&self) -> Result<RawJson, serde_json::Error> {
        RawJson::of(self)
    }

    /// A digest that is equal for two requests exactly if they describe the same order.
    pub fn fingerprint(&self) -> String {
        let items: BTreeMap<Uuid, u32> = self.items.iter().copied().collect();
        let mut digest = Fed(Sha256::new());
        let Self { user_id, amount, currency, payment_method, .. } = self;
        // A digest takes whatever it is fed with.
        let _fed = write!(digest, "{user_id} {amount} {currency} {items:?} {payment_method:?}");
        format!("{:x}", digest.0.finalize())
    }
}

/// A digest of a text that is never whole.
struct Fed(Sha256);

impl fmt::Write for Fed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is stored with idempotency keys.
    #[test]
    fn the_fingerprint_stays_what_it_is() {
        let order = Order {
            user_id: Uuid::from_u128(1),
            amount: Amount::from_minor(49_990).unwrap(),
            currency: "EUR".to_owned(),
            items: vec![(Uuid::from_u128(3), 0), (Uuid::from_u128(2), 7)],
            payment_method: Some("pm_approve".to_owned()),
        };
        let text = "00000000-0000-0000-0000-000000000001 499.9 EUR {00000000-0000-0000-0000-000000000002: 7, \
                    00000000-0000-0000-0000-000000000003: 0} Some(\"pm_approve\")";
        assert_eq!(order.fingerprint(), format!("{:x}", Sha256::digest(text)));
    }
}
