//! The workers of the shop, put together: what each reads, what handles it, and what it can be asked.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use clap::ValueEnum;
use service::kafka::topics;
use service::metrics::Metrics;
use service::telemetry::Tracer;

use super::gateway::SimulatedGateway;
use super::gateway::entries::Entries;
use super::gateway::simulated::SuccessRate;
use super::inventory::{Inventory, Sales};
use super::notification::{Notification, SentNotifications};
use super::payment::Payment;
use super::stock::Stock;
use crate::http;
use crate::ledger::Ledger;
use crate::observe::Observer;
use crate::participant::Participant;
use crate::runtime::{Handler, Limits, Runtime, Surroundings};
use crate::sql::Db;

/// A worker of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum WorkerName {
    /// Sets units apart, sells them, puts them back
    Inventory,
    /// Charges and gives back
    Payment,
    /// Tells the customer
    Notification,
}

impl WorkerName {
    pub const ALL: [Self; 3] = [Self::Inventory, Self::Payment, Self::Notification];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Payment => "payment",
            Self::Notification => "notification",
        }
    }

    /// Its name as a service in traces, and as the group in which its instances share its commands.
    pub fn service(self) -> &'static str {
        match self {
            Self::Inventory => "worker-inventory",
            Self::Payment => "worker-payment",
            Self::Notification => "worker-notification",
        }
    }

    /// Where it listens unless said.
    pub fn default_addr(self) -> &'static str {
        match self {
            Self::Inventory => "0.0.0.0:8082",
            Self::Payment => "0.0.0.0:8083",
            Self::Notification => "0.0.0.0:8084",
        }
    }

    /// What it reads.
    pub fn subscriptions(self) -> &'static [Subscription] {
        match self {
            Self::Inventory => &[
                Subscription { topic: topics::INVENTORY_COMMANDS, group: "worker-inventory" },
                Subscription { topic: topics::ORDER_CONFIRMED, group: "worker-inventory-sales" },
            ],
            Self::Payment => &[Subscription { topic: topics::PAYMENT_COMMANDS, group: "worker-payment" }],
            Self::Notification => {
                &[Subscription { topic: topics::NOTIFICATION_COMMANDS, group: "worker-notification" }]
            }
        }
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A topic that a worker reads, and the group in which its instances share it. Sales have a group of their own: the
/// committed offsets of the other one say how far the *commands* are taken, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    pub topic: &'static str,
    pub group: &'static str,
}

/// Everything that the workers of a process stand on.
#[derive(Clone)]
pub struct Staff {
    pub db: Db,
    pub ledger: Arc<dyn Ledger>,
    pub stock: Arc<dyn Stock>,
    pub success_rate: SuccessRate,
    pub around: Surroundings,
    pub metrics: Metrics,
    pub limits: Limits,
}

impl Staff {
    /// Who handles what this worker reads there.
    pub fn handler(&self, name: WorkerName, subscription: Subscription, tracer: Tracer) -> Arc<dyn Handler> {
        self.around.count_letters_of(subscription.topic);
        if subscription.topic == topics::ORDER_CONFIRMED {
            return Arc::new(Sales::new(Arc::clone(&self.stock), self.around.clone()));
        }
        match name {
            WorkerName::Inventory => self.runtime(name, tracer, Inventory::new(Arc::clone(&self.stock))),
            WorkerName::Payment => {
                let gateway = SimulatedGateway::new(Entries::new(self.db.clone()), self.success_rate);
                self.runtime(name, tracer, Payment::new(Arc::new(gateway)))
            }
            WorkerName::Notification => self.runtime(name, tracer, Notification::new(self.db.clone())),
        }
    }

    fn runtime<P: Participant>(&self, name: WorkerName, tracer: Tracer, participant: P) -> Arc<dyn Handler> {
        let observer = Observer::new(name.as_str(), &self.metrics, tracer);
        Arc::new(Runtime::new(participant, Arc::clone(&self.ledger), self.around.clone(), observer, self.limits))
    }

    /// What this worker can be asked.
    pub fn routes(&self, name: WorkerName) -> Router {
        match name {
            WorkerName::Inventory => http::inventory_routes(Arc::clone(&self.stock)),
            WorkerName::Payment => http::payment_routes(Entries::new(self.db.clone())),
            WorkerName::Notification => http::notification_routes(SentNotifications::new(self.db.clone())),
        }
    }
}
