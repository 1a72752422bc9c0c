//! `order.confirmed`: what was set apart is sold.
//!
//! It may come before the worker has heard anything else, twice, or after the order was undone: it only ever turns
//! reserved into sold. It is marked as done once that is durable.

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::json;
use saga_model::wire::{DeadLetterCode, Unreadable};
use serde::Deserialize;

use crate::dead_letter::DeadLetter;
use crate::patience::{Hopeless, Stopping};
use crate::runtime::{Handler, Surroundings};
use crate::shop::stock::Stock;
use crate::transport::{Delivery, Sent};

/// Sells what was set apart.
pub struct Sales {
    stock: Arc<dyn Stock>,
    around: Surroundings,
}

impl Sales {
    pub fn new(stock: Arc<dyn Stock>, around: Surroundings) -> Self {
        Self { stock, around }
    }

    /// Sells; if one of them cannot be, halves them until it is alone.
    async fn sell(&self, confirmed: Vec<(Delivery, SagaId)>, sent: &mut Vec<Sent>) -> Result<(), Stopping> {
        let mut waiting = vec![confirmed];
        while let Some(mut part) = waiting.pop() {
            let sagas: Vec<SagaId> = part.iter().map(|(_, saga)| *saga).collect();
            let detail = match self.around.patience.insist(|| self.stock.sell(&sagas)).await {
                Ok(()) => continue,
                Err(Hopeless::Stopping) => return Err(Stopping),
                Err(Hopeless::Poison(detail)) => detail,
            };
            if part.len() > 1 {
                let second = part.split_off(part.len() / 2);
                waiting.extend([second, part]);
                continue;
            }
            let why = Unreadable::new(DeadLetterCode::EngineError, detail);
            let letters = part.into_iter().map(|(delivery, _)| DeadLetter::new(delivery, why.clone())).collect();
            self.around.bury(letters, sent).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Sales {
    async fn handle(&self, batch: Vec<Delivery>) -> Result<Vec<Sent>, Stopping> {
        let (mut sent, mut confirmed, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in batch {
            match read(&delivery) {
                Ok(saga) => confirmed.push((delivery, saga)),
                Err(why) => letters.push(DeadLetter::new(delivery, why)),
            }
        }
        self.around.bury(letters, &mut sent).await?;
        if !confirmed.is_empty() {
            self.sell(confirmed, &mut sent).await?;
        }
        Ok(sent)
    }
}

/// The order that was confirmed, as nearly every message says it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Confirmed<'a> {
    order_id: &'a str,
}

/// The order that was confirmed, which is its saga.
fn read(delivery: &Delivery) -> Result<SagaId, Unreadable> {
    let value = delivery.value.as_deref().unwrap_or_default();
    // What is skipped is not looked at: without escapes, and in UTF-8, nothing can be wrong in it.
    let plain =
        json::is_shallow(value, json::MAX_DEPTH) && !value.contains(&b'\\') && std::str::from_utf8(value).is_ok();
    let confirmed = plain.then(|| json::read_object::<Confirmed<'_>>(value)).flatten();
    if let Some(saga) = confirmed.and_then(|confirmed| confirmed.order_id.parse().ok()) {
        return Ok(saga);
    }
    // Only a closer look can say what is wrong.
    let json = json::parse(value).map_err(|error| Unreadable::new(DeadLetterCode::NotJson, error.to_string()))?;
    let wrong = |detail: &str| Unreadable::new(DeadLetterCode::WrongType, detail);
    if json.as_object().is_none() {
        return Err(wrong("the message is not a JSON object"));
    }
    let missing = || Unreadable::new(DeadLetterCode::MissingField, "orderId is missing");
    let order = json.get("orderId").ok_or_else(missing)?;
    order.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong("orderId is not a UUID"))
}
