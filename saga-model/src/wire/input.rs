//! The input of a saga as its messages show it.

use std::cell::OnceCell;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::RawJson;

/// The input of a saga. It is looked into once, however many messages are made of it.
pub struct SagaInput<'a> {
    pub(super) text: &'a RawJson,
    order: OnceCell<OrderInput<'a>>,
}

/// The input of an order, looked into without copying.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderInput<'a> {
    #[serde(borrow)]
    pub(crate) user_id: &'a str,
    #[serde(borrow)]
    pub(crate) amount: &'a RawValue,
    #[serde(borrow)]
    pub(crate) currency: &'a str,
    #[serde(borrow)]
    pub(crate) items: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) payment_method: Option<&'a str>,
}

impl<'a> SagaInput<'a> {
    /// Not looked into yet.
    pub fn new(text: &'a RawJson) -> Self {
        Self { text, order: OnceCell::new() }
    }

    /// The order that it is.
    pub(super) fn order(&self) -> Result<&OrderInput<'a>, serde_json::Error> {
        if let Some(order) = self.order.get() {
            return Ok(order);
        }
        let order = serde_json::from_str(self.text.get())?;
        Ok(self.order.get_or_init(|| order))
    }
}
