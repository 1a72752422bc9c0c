//! The inventory worker: `reserve-inventory` sets units apart, its compensation puts them back, and a confirmed order
//! turns them into sold ones.

mod sales;

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::json::RawJson;
use saga_model::state::Kind;
use saga_model::wire::Unreadable;
use saga_model::wire::command::Command;
use serde::Serialize;
use uuid::Uuid;

use super::payload;
use super::stock::{Line, StepKey, Stock, Want};
use crate::participant::{Acted, Job, Participant, Settled, Undone};
use crate::trouble::Trouble;
pub use sales::Sales;

/// Sets units apart.
pub struct Inventory {
    stock: Arc<dyn Stock>,
}

impl Inventory {
    pub fn new(stock: Arc<dyn Stock>) -> Self {
        Self { stock }
    }
}

/// What it needs of a command.
#[derive(Debug)]
pub struct Order {
    order: Uuid,
    /// Empty in a compensation, which puts back whatever was set apart.
    lines: Arc<[Line]>,
}

/// The output of a reservation.
#[derive(Serialize)]
struct Output {
    products: usize,
    units: u64,
}

impl Output {
    fn of(lines: &[Line]) -> Self {
        Self { products: lines.len(), units: lines.iter().map(|line| u64::from(line.quantity)).sum() }
    }

    fn json(&self) -> Result<RawJson, Trouble> {
        RawJson::of(self).map_err(|error| Trouble::Poison(error.to_string()))
    }
}

#[async_trait]
impl Participant for Inventory {
    type Task = Order;

    fn read(&self, command: &Command) -> Result<Order, Unreadable> {
        let mut payload = payload::read(command)?;
        let order = payload.order(command.saga_id)?;
        let lines = match command.kind {
            Kind::Action => payload.lines()?,
            Kind::Compensate => Vec::new(),
        };
        Ok(Order { order, lines: lines.into() })
    }

    async fn act(&self, jobs: &[Job<Order>]) -> Result<Vec<Acted>, Trouble> {
        let want = |job: &Job<Order>| Want {
            key: job.key.clone(),
            lines: Arc::clone(&job.task.lines),
            repeated: job.repeated,
        };
        let wants: Vec<Want> = jobs.iter().map(want).collect();
        let reserved = self.stock.reserve(&wants).await?;
        let mut acted = Vec::with_capacity(jobs.len());
        for (job, reserved) in jobs.iter().zip(reserved) {
            let order = job.task.order;
            acted.push(match reserved.refusal() {
                None => {
                    tracing::info!(saga.id = %job.key.saga, order.id = %order, "Inventory reserved");
                    Acted::Done(Output::of(&job.task.lines).json()?)
                }
                Some(why) => {
                    let (code, detail) = (why.code.as_str(), why.message.as_str());
                    tracing::info!(saga.id = %job.key.saga, order.id = %order, code, detail, "Inventory rejected");
                    Acted::Refused(why)
                }
            });
        }
        Ok(acted)
    }

    async fn settle(&self, jobs: &[Job<Order>]) -> Result<Vec<Settled>, Trouble> {
        let keys: Vec<_> = jobs.iter().map(|job| job.key.clone()).collect();
        let stand = self.stock.settle(&keys).await?;
        let settled = |(job, stands): (&Job<Order>, bool)| {
            Ok(if stands { Settled::Stands(Output::of(&job.task.lines).json()?) } else { Settled::Absent })
        };
        jobs.iter().zip(stand).map(settled).collect()
    }

    async fn undo(&self, jobs: &[Job<Order>]) -> Result<Vec<Undone>, Trouble> {
        let steps: Vec<StepKey> = jobs.iter().map(|job| (job.key.saga, Arc::clone(&job.key.step))).collect();
        let there = self.stock.release(&steps).await?;
        for (job, was_there) in jobs.iter().zip(&there) {
            tracing::info!(saga.id = %job.key.saga, order.id = %job.task.order, undone = was_there, "Inventory released");
        }
        Ok(there.into_iter().map(|was_there| Undone::Done { was_there }).collect())
    }
}
