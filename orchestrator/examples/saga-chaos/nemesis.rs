//! Does the planned faults, heals them, and sees how long it takes until an order goes through again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use service::time::now;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, Service, Worker};
use crate::findings::{Findings, lock};
use crate::plan::Planned;
use crate::proxy::Weather;
use crate::shop::Shop;
use crate::system::System;
use crate::topics::Collector;

pub struct Nemesis {
    pub system: Arc<System>,
    pub shop: Arc<Shop>,
    pub findings: Arc<Findings>,
    pub collector: Arc<Collector>,
    /// The faults that are on, or not healed yet.
    pub on: Mutex<Vec<Fault>>,
    pub stop: CancellationToken,
}

/// What became of a planned fault.
pub struct Done {
    pub planned: Planned,
    pub outcome: Outcome,
}

pub enum Outcome {
    /// Its target had not been healed yet, or the run was over.
    Never,
    /// It could not be done, or not be healed.
    Failed(String),
    /// How long an order took that was placed once it was healed; none if it never went through.
    Healed(Option<Duration>),
}

impl Nemesis {
    /// Does all of `plan`, from now on.
    pub async fn run(&self, plan: Vec<Planned>) -> Vec<Done> {
        let began = Instant::now();
        join_all(plan.into_iter().enumerate().map(|(n, planned)| async move {
            let outcome = self.one(&planned, began, n as u64).await;
            Done { planned, outcome }
        }))
        .await
    }

    async fn one(&self, planned: &Planned, began: Instant, n: u64) -> Outcome {
        tokio::select! {
            () = self.stop.cancelled() => return Outcome::Never,
            () = sleep_until(began + planned.at) => {}
        }
        let name = planned.fault.to_string();
        if !self.takes(&planned.fault) {
            self.findings.note(&format!("left out: {name}: its target is not healed yet"));
            return Outcome::Never;
        }
        self.findings.note(&format!("begins: {name}, for {} ms", planned.lasts.as_millis()));
        let done = self.inject(&planned.fault).await;
        if done.is_ok() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(planned.lasts) => {}
                () = self.storm(&planned.fault, n) => {}
            }
        }
        // Also when it was not done whole.
        let healed = self.heal(&planned.fault).await;
        lock(&self.on).retain(|other| *other != planned.fault);
        self.findings.note(&format!("ends: {name}"));
        if let Err(error) = done.and(healed) {
            self.findings.note(&format!("failed: {name}: {error:#}"));
            return Outcome::Failed(format!("{error:#}"));
        }
        let recovery = self.shop.probe().await;
        self.findings.note(&format!("over: {name}: an order took {} ms", recovery.unwrap_or_default().as_millis()));
        Outcome::Healed(recovery)
    }

    /// Healing may take longer than was planned for. False if the targets of a fault are not all free.
    fn takes(&self, fault: &Fault) -> bool {
        let (mut on, parts) = (lock(&self.on), self.system.names());
        let busy: Vec<String> = on.iter().flat_map(|other| other.targets(&parts)).collect();
        let free = fault.targets(&parts).iter().all(|target| !busy.contains(target));
        if free {
            on.push(fault.clone());
        }
        free
    }

    async fn inject(&self, fault: &Fault) -> anyhow::Result<()> {
        let (system, services) = (&self.system, &self.system.services);
        match fault {
            Fault::Kill(part) => system.kill(part).await,
            Fault::KillAll => join_all(system.names().iter().map(|part| system.kill(part))).await.into_iter().collect(),
            Fault::Freeze(part) => system.signal(part, "STOP").await,
            Fault::KillService(service) => services.kill(*service).await,
            Fault::FreezeService(service) => services.freeze(*service).await,
            Fault::FillDisk => services.fill_disk().await,
            Fault::FlushRedis => services.flush_redis().await,
            Fault::DropBackends => services.drop_backends().await,
            Fault::Edge { part, service, rough } => {
                system.weather(part, *service, Weather::Rough(*rough));
                Ok(())
            }
            Fault::CutAnswers(part) => {
                system.weather_of_clients(part, Weather::CutAnswers);
                Ok(())
            }
            Fault::Storm(_) => Ok(()),
            Fault::DeleteTopics => {
                self.collector.topics_go(now());
                services.delete_topics().await
            }
            Fault::WorkerAway(worker) => {
                join_all(worker.parts().iter().map(|part| system.kill(part))).await.into_iter().collect()
            }
        }
    }

    async fn heal(&self, fault: &Fault) -> anyhow::Result<()> {
        let (system, services) = (&self.system, &self.system.services);
        match fault {
            Fault::Kill(part) => system.run(part).await,
            Fault::KillAll => join_all(system.names().iter().map(|part| system.run(part))).await.into_iter().collect(),
            Fault::Freeze(part) => system.signal(part, "CONT").await,
            Fault::KillService(service) => services.start(*service).await,
            Fault::FreezeService(service) => services.thaw(*service).await,
            Fault::FillDisk => {
                services.empty_disk().await?;
                // It may have given up.
                services.start(Service::Postgres).await
            }
            Fault::FlushRedis | Fault::DropBackends | Fault::Storm(_) => Ok(()),
            Fault::Edge { part, service, .. } => {
                system.weather(part, *service, Weather::Fair);
                Ok(())
            }
            Fault::CutAnswers(part) => {
                system.weather_of_clients(part, Weather::Fair);
                Ok(())
            }
            Fault::DeleteTopics => {
                // Who runs makes them again by itself; who is started without them refuses to work until somebody does.
                system.migrate().await?;
                self.collector.topics_went(now());
                Ok(())
            }
            Fault::WorkerAway(worker) => {
                join_all(worker.parts().iter().map(|part| system.run(part))).await.into_iter().collect()
            }
        }
    }

    /// Workers come and go, one after the other; of any other fault nothing happens, for ever.
    async fn storm(&self, fault: &Fault, n: u64) {
        match fault {
            Fault::Storm(worker) => {
                if let Err(error) = self.come_and_go(*worker, Rng::with_seed(n)).await {
                    self.findings.note(&format!("failed: {fault}: {error:#}"));
                }
            }
            _ => std::future::pending().await,
        }
    }

    async fn come_and_go(&self, worker: Worker, mut rng: Rng) -> anyhow::Result<()> {
        loop {
            let mut extra = self.system.extra(worker)?;
            sleep(Duration::from_millis(rng.u64(200..1_500))).await;
            match extra.id() {
                Some(pid) if rng.bool() => {
                    crate::services::signal("TERM", &[pid]).await?;
                    extra.wait().await?;
                }
                _ => extra.kill().await?,
            }
        }
    }
}
