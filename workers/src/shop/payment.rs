//! The payment worker: `charge-payment` captures, its compensation gives back.

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::json::RawJson;
use saga_model::money::Amount;
use saga_model::state::Kind;
use saga_model::wire::Unreadable;
use saga_model::wire::command::Command;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::gateway::{Captured, Charge, Doubt, Gateway, Method, Refund, Refunded};
use super::payload::{self, missing, storable, wrong};
use crate::participant::{Acted, Job, Participant, Settled, Undone};
use crate::trouble::Trouble;

/// Charges at a gateway.
pub struct Payment {
    gateway: Arc<dyn Gateway>,
}

impl Payment {
    pub fn new(gateway: Arc<dyn Gateway>) -> Self {
        Self { gateway }
    }
}

/// What it needs of a command.
#[derive(Debug)]
pub struct Order {
    order: Uuid,
    method: Method,
    /// None in a compensation, which gives back whatever was captured.
    bill: Option<Bill>,
}

/// What is to be paid; also the output of a charge.
#[derive(Debug, Clone, Serialize)]
struct Bill {
    amount: Amount,
    currency: String,
}

/// An amount as JSON: the text of a number, or of a string.
fn amount(raw: &RawValue) -> Result<Amount, Unreadable> {
    let text = raw.get();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Amount::parse(text).map_err(|error| wrong(format!("payload.totalAmount: {error}")))
}

fn json(output: &impl Serialize) -> Result<RawJson, Trouble> {
    RawJson::of(output).map_err(|error| Trouble::Poison(error.to_string()))
}

#[async_trait]
impl Participant for Payment {
    type Task = Order;

    fn read(&self, command: &Command) -> Result<Order, Unreadable> {
        let payload = payload::read(command)?;
        let order = payload.order(command.saga_id)?;
        let method = Method::named(payload.payment_method.as_deref());
        let bill = match command.kind {
            Kind::Compensate => None,
            Kind::Action => {
                let currency = payload.currency.as_deref().ok_or_else(|| missing("payload.currency"))?;
                let amount = amount(payload.total_amount.ok_or_else(|| missing("payload.totalAmount"))?)?;
                Some(Bill { amount, currency: storable("payload.currency", currency)? })
            }
        };
        Ok(Order { order, method, bill })
    }

    async fn act(&self, jobs: &[Job<Order>]) -> Result<Vec<Acted>, Trouble> {
        let charges: Vec<Charge> = jobs.iter().map(charge).collect::<Result<_, _>>()?;
        let captured = self.gateway.capture(&charges).await?;
        let mut acted = Vec::with_capacity(jobs.len());
        for ((job, charge), captured) in jobs.iter().zip(&charges).zip(captured) {
            let (saga, order) = (job.key.saga, charge.order);
            acted.push(match captured {
                Captured::Yes => {
                    tracing::info!(saga.id = %saga, order.id = %order, amount = %charge.amount, "Payment success");
                    Acted::Done(json(&job.task.bill)?)
                }
                Captured::Declined(why) => {
                    let (code, detail) = (why.code.as_str(), why.message.as_str());
                    tracing::info!(saga.id = %saga, order.id = %order, code, detail, "Payment failed");
                    Acted::Refused(why)
                }
                Captured::Retry(why) => Acted::Retry(why),
            });
        }
        Ok(acted)
    }

    async fn settle(&self, jobs: &[Job<Order>]) -> Result<Vec<Settled>, Trouble> {
        let doubt = |job: &Job<Order>| Doubt { key: job.key.clone(), order: job.task.order };
        let captured = self.gateway.settle(&jobs.iter().map(doubt).collect::<Vec<_>>()).await?;
        let settled = |(job, captured): (&Job<Order>, bool)| {
            Ok(if captured { Settled::Stands(json(&job.task.bill)?) } else { Settled::Absent })
        };
        jobs.iter().zip(captured).map(settled).collect()
    }

    async fn undo(&self, jobs: &[Job<Order>]) -> Result<Vec<Undone>, Trouble> {
        let refund = |job: &Job<Order>| Refund {
            saga: job.key.saga,
            step: Arc::clone(&job.key.step),
            method: job.task.method.clone(),
            attempt: job.attempt,
        };
        let refunded = self.gateway.refund(&jobs.iter().map(refund).collect::<Vec<_>>()).await?;
        let undone = |(job, refunded): (&Job<Order>, Refunded)| match refunded {
            Refunded::Done { was_there } => {
                let (saga, order) = (job.key.saga, job.task.order);
                tracing::info!(saga.id = %saga, order.id = %order, undone = was_there, "Payment refunded");
                Undone::Done { was_there }
            }
            Refunded::Retry(why) => Undone::Retry(why),
        };
        Ok(jobs.iter().zip(refunded).map(undone).collect())
    }

    /// The test cards that lose answers.
    fn keeps_silent(&self, command: &Command, order: &Order) -> bool {
        match (command.kind, &order.method) {
            (Kind::Action, Method::Timeout) => command.attempt == 1,
            (Kind::Action, Method::Hang | Method::RefundFails) => true,
            (Kind::Action | Kind::Compensate, _) => false,
        }
    }
}

fn charge(job: &Job<Order>) -> Result<Charge, Trouble> {
    let Order { order, method, bill } = &*job.task;
    let unasked = || Trouble::Poison(format!("a compensation of {} was asked to charge", job.key));
    let Bill { amount, currency } = bill.clone().ok_or_else(unasked)?;
    Ok(Charge { key: job.key.clone(), order: *order, amount, currency, method: method.clone(), attempt: job.attempt })
}
