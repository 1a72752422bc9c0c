//! The notification worker: `notify-customer` tells the customer how the order ended, once per outcome.
//!
//! What was said cannot be unsaid, so its compensation only makes sure that nothing is said from then on, and answers
//! whether something had been.

mod sent;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind};
use saga_model::wire::Unreadable;
use saga_model::wire::command::Command;
use uuid::Uuid;

use super::payload::{self, missing, storable};
use crate::participant::{Acted, Job, Participant, Settled, Undone};
use crate::sql::Db;
use crate::trouble::Trouble;
use sent::Row;
pub use sent::{Notified, SentNotifications};

/// Tells customers, by a line in the log.
pub struct Notification {
    sent: SentNotifications,
    /// Said and not yet on record: an outage in between is no reason to say it twice.
    said: Mutex<HashSet<(Uuid, String)>>,
}

impl Notification {
    pub fn new(db: Db) -> Self {
        Self { sent: SentNotifications::new(db), said: Mutex::default() }
    }

    /// Says it, unless this process has.
    fn say(&self, job: &Job<Order>) {
        let Order { order, outcome } = &*job.task;
        let first = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert((*order, outcome.clone()));
        if first {
            tracing::info!(saga.id = %job.key.saga, order.id = %order, outcome, "Notification sent");
        }
    }

    fn forget(&self, jobs: &[&Job<Order>]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            said.remove(&(job.task.order, job.task.outcome.clone()));
        }
    }
}

/// What it needs of a command.
#[derive(Debug)]
pub struct Order {
    order: Uuid,
    /// Empty in a compensation.
    outcome: String,
}

#[async_trait]
impl Participant for Notification {
    type Task = Order;

    fn read(&self, command: &Command) -> Result<Order, Unreadable> {
        let payload = payload::read(command)?;
        let order = payload.order(command.saga_id)?;
        let outcome = match command.kind {
            Kind::Compensate => String::new(),
            Kind::Action => {
                let outcome = payload.outcome.as_deref().ok_or_else(|| missing("payload.outcome"))?;
                storable("payload.outcome", outcome)?
            }
        };
        Ok(Order { order, outcome })
    }

    async fn act(&self, jobs: &[Job<Order>]) -> Result<Vec<Acted>, Trouble> {
        let at = service::time::now();
        // Only what may have been said before is looked up.
        let earlier: Vec<SagaId> = jobs.iter().filter(|job| job.repeated).map(|job| job.key.saga).collect();
        let known = self.sent.of_sagas(&earlier).await?;
        let said = |job: &&Job<Order>| known.contains(&(job.key.saga, job.task.outcome.clone()));
        // Said first and recorded after: killed in between, it is said again rather than never.
        let new: Vec<&Job<Order>> = jobs.iter().filter(|job| !said(job)).collect();
        new.iter().for_each(|job| self.say(job));
        let rows: Vec<Row> =
            new.iter().map(|job| Row::new(&job.key, job.task.order, Some(&job.task.outcome))).collect();
        let mut kept_out = self.sent.add(&rows, earlier.is_empty()).await?;
        self.forget(&new);
        let output = RawJson::of(&serde_json::json!({"sentAt": at.to_string()}));
        let output = output.map_err(|error| Trouble::Poison(error.to_string()))?;
        let acted = |job: &Job<Order>| match kept_out.remove(&job.key) {
            true => Acted::Refused(Failure::new("COMPENSATED_ALREADY", "this notification was called off before")),
            false => Acted::Done(output.clone()),
        };
        Ok(jobs.iter().map(acted).collect())
    }

    async fn settle(&self, jobs: &[Job<Order>]) -> Result<Vec<Settled>, Trouble> {
        let voids: Vec<Row> = jobs.iter().map(|job| Row::new(&job.key, job.task.order, None)).collect();
        let absent = self.sent.add(&voids, false).await?;
        let stands = RawJson::of(&serde_json::json!({})).map_err(|error| Trouble::Poison(error.to_string()))?;
        let settled = |job: &Job<Order>| {
            if absent.contains(&job.key) { Settled::Absent } else { Settled::Stands(stands.clone()) }
        };
        Ok(jobs.iter().map(settled).collect())
    }

    async fn undo(&self, jobs: &[Job<Order>]) -> Result<Vec<Undone>, Trouble> {
        let steps: Vec<_> = jobs.iter().map(|job| (job.key.saga, Arc::clone(&job.key.step))).collect();
        let there = self.sent.said(&steps).await?;
        Ok(there.into_iter().map(|was_there| Undone::Done { was_there }).collect())
    }
}
