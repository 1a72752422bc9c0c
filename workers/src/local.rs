//! All workers inside another process, on its database and its bus: what `saga dev` runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sea_orm::DatabaseConnection;
use service::exit::Stop;
use service::metrics::Metrics;
use service::telemetry::Telemetry;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::SqlDeadLetters;
use crate::ledger::Ledger;
use crate::ledger::sql::SqlLedger;
use crate::patience::{Absences, Patience};
use crate::runtime::{Limits, Surroundings, serve};
use crate::settings::ShopSettings;
use crate::shop::staff::{Staff, WorkerName};
use crate::shop::stock::sql::SqlStock;
use crate::sql::Db;
use crate::transport::local::{OnDone, sink, topic};
use crate::transport::{Delivery, Outgoing};

/// What the workers are given.
pub struct Surrounds<'a> {
    /// The one connection of the process that writes, with the schema up to date.
    pub connection: DatabaseConnection,
    pub settings: ShopSettings,
    /// A worker answers UNKNOWN for an effect that takes longer.
    pub step_timeout: Duration,
    pub metrics: &'a Metrics,
    pub telemetry: &'a Telemetry,
    /// Is told of everything that the workers have finished with, by topic, partition and offset.
    pub on_done: OnDone,
    pub stop: CancellationToken,
}

/// Workers that run.
pub struct LocalWorkers {
    /// By topic: where commands and `order.confirmed` are handed over. Each is to be handed over again after a start
    /// unless `on_done` was told of it.
    pub inputs: BTreeMap<&'static str, UnboundedSender<Delivery>>,
    /// Replies and dead letters, in batches.
    pub answers: UnboundedReceiver<Vec<Outgoing>>,
    /// What the workers can be asked, to be mounted behind the door of the process; see [`crate::http::audit`].
    pub routes: Router,
    db: Db,
    tasks: JoinSet<()>,
}

impl LocalWorkers {
    /// The database of the workers, for their audit.
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    /// Starts all three.
    ///
    /// # Errors
    /// If the database does not answer, or is of another kind.
    pub async fn start(given: Surrounds<'_>) -> Result<Self, Stop> {
        let failed = |error: &dyn std::fmt::Display| Stop::Failed(format!("the workers cannot start: {error}"));
        let db = Db::new(given.connection).map_err(|error| failed(&error))?;
        let ledger = SqlLedger::new(db.clone());
        // This process is the only one: whoever held a lease is dead.
        ledger.end_leases().await.map_err(|error| failed(&error))?;
        let (sink, answers) = sink();
        let staff = Staff {
            ledger: Arc::new(ledger),
            stock: Arc::new(SqlStock::new(db.clone(), given.settings.default_stock)),
            success_rate: given.settings.success_rate,
            around: Surroundings {
                dead_letters: Arc::new(SqlDeadLetters(db.clone())),
                sink: Arc::new(sink),
                patience: Patience::new(Absences::default(), given.stop.clone()),
                letters_total: given.metrics.dead_letters(),
            },
            metrics: given.metrics.clone(),
            limits: Limits::for_effects_of(given.step_timeout),
            db: db.clone(),
        };
        let (mut inputs, mut routes, mut tasks) = (BTreeMap::new(), Router::new(), JoinSet::new());
        for name in WorkerName::ALL {
            routes = routes.merge(staff.routes(name));
            for subscription in name.subscriptions() {
                let (input, source) = topic(Arc::clone(&given.on_done));
                inputs.insert(subscription.topic, input);
                let handler = staff.handler(name, *subscription, given.telemetry.tracer(name.service())?);
                tasks.spawn(serve(source, handler, given.stop.clone()));
            }
        }
        Ok(Self { inputs, answers, routes, db, tasks })
    }

    /// Waits until all have ended, which they do when they are told to stop and nobody hands anything over any more.
    pub async fn ended(mut self) {
        drop(self.inputs);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(broken) = ended {
                tracing::error!(error = %broken, "A worker broke");
            }
        }
    }
}
