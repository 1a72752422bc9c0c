//! What every way of running has in common: the engine with its routes, its health, and its end.

use std::sync::Arc;
use std::time::Duration;

use saga_model::micros::Millis;
use saga_model::{Definition, catalog};
use service::exit::Stop;
use service::health::{Dependency, Effect, Health, Status};
use service::http::serve;
use service::keys::ApiKeys;
use service::metrics::Metrics;
use service::settings::Timing;
use service::shutdown::Shutdown;
use service::telemetry::{Telemetry, Tracer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::entrance::Entrance;
use super::ids::{RandomIds, instance_name};
use crate::bus::Bus;
use crate::engine::{Acks, Definitions, Engine, EngineParts, LINGER_AFTER, MAX_MOVING, Meters, Running};
use crate::http::{Api, More, router};
use crate::store::{InstanceId, Store, StoreError};

/// How long requests in flight are waited for when the process ends, counted from the signal, as the next one is: a
/// grace for load balancers is in it. With what follows it stays below ten seconds.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
/// How long the engine may take to end, counted from the signal: what it stands on may say nothing any more.
const ENGINE_WITHIN: Duration = Duration::from_millis(8_000);
/// How long the last spans are waited for.
const SPANS_WITHIN: Duration = Duration::from_secs(1);
/// How long connections to the store may take to close: one that is in use waits for its answer.
pub const CLOSED_WITHIN: Duration = Duration::from_millis(500);
/// Between two looks at a dependency.
const PULSE: Duration = Duration::from_secs(1);
/// How long a dependency may take to say that it is there.
const PULSE_WITHIN: Duration = Duration::from_secs(3);

/// A process that listens, and is not ready yet.
pub struct Process {
    pub health: Health,
    pub metrics: Metrics,
    pub keys: Arc<ApiKeys>,
    pub shutdown: Shutdown,
    pub telemetry: Telemetry,
    pub tracer: Tracer,
    entrance: Entrance,
    http: JoinHandle<usize>,
}

/// What an engine stands on.
pub struct Ground {
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    pub acks: Arc<Acks>,
    /// What the store and the bus are called in `/readyz`.
    pub store_name: &'static str,
    pub bus_name: Option<&'static str>,
}

impl Process {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the tracer cannot be made.
    pub fn listen(
        listener: TcpListener,
        keys: ApiKeys,
        telemetry: Telemetry,
        shutdown: Shutdown,
    ) -> Result<Self, Stop> {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(http.addr = %address, "Listening");
        }
        let (health, metrics) = (Health::new(), Metrics::new());
        // Named from the start: a process that owns no shard yet is not ready, whatever else is up.
        health.register("shards", Effect::NotReady);
        let entrance = Entrance::new(&health, &metrics);
        let http = tokio::spawn(serve(listener, entrance.clone(), shutdown.clone(), REQUESTS_WITHIN));
        let tracer = telemetry.tracer("saga")?;
        Ok(Self { health, metrics, keys: Arc::new(keys), shutdown, telemetry, tracer, entrance, http })
    }

    /// Starts an engine on `ground` and opens its routes, with `more` beside them.
    ///
    /// # Errors
    /// If a definition is refused. What is away is waited for; `None` if the end comes first.
    pub async fn open(&self, ground: Ground, timing: Timing, more: impl Into<More>) -> Result<Option<Running>, Stop> {
        let shards = self.health.register("shards", Effect::NotReady);
        let store_health = self.health.register(ground.store_name, Effect::NotReady);
        let definitions = resolved(timing)?;
        let instance = InstanceId(instance_name());
        let ready = patiently(&self.shutdown, &store_health, || async {
            let store = ground.store.as_ref();
            let pinned = Definitions::pin(store, definitions.clone()).await?;
            let count = store.shard_count().await?;
            let now = store.heartbeat(&instance, Millis(1)).await?.now;
            Ok((pinned, count, now))
        });
        let Some((pinned, shard_count, now)) = ready.await? else { return Ok(None) };
        let (engine, running) = Engine::start(EngineParts {
            store: ground.store.clone(),
            bus: ground.bus.clone(),
            acks: ground.acks,
            max_moving: MAX_MOVING,
            linger_after: LINGER_AFTER,
            ids: Arc::new(RandomIds::default()),
            definitions: Arc::new(pinned),
            shard_count,
            instance,
            lease: timing.lease_timeout,
            now,
            meters: Meters::register(&self.metrics),
            tracer: self.tracer.clone(),
        });
        self.watch(engine.clone(), ground.store, store_health, shards);
        if let Some(name) = ground.bus_name {
            self.watch_bus(ground.bus, self.health.register(name, Effect::Degraded));
        }
        let api = Api {
            engine,
            keys: self.keys.clone(),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
            draining: self.shutdown.draining().clone(),
        };
        self.entrance.open(router(api, more));
        Ok(Some(running))
    }

    /// Waits until the process is ready, or is to end.
    pub async fn ready(&self) {
        let mut pace = tokio::time::interval(PULSE / 50);
        while self.health.readiness().status() != Status::Ready && !self.shutdown.draining().is_cancelled() {
            pace.tick().await;
        }
    }

    fn watch(&self, engine: Engine, store: Arc<dyn Store>, store_health: Dependency, shards: Dependency) {
        let shutdown = self.shutdown.draining().clone();
        tokio::spawn(async move {
            while !shutdown.is_cancelled() {
                match tokio::time::timeout(PULSE_WITHIN, store.ping()).await {
                    Ok(Ok(())) => store_health.up(),
                    Ok(Err(error)) => store_health.down(error.to_string()),
                    Err(_) => store_health.down("it does not answer"),
                }
                let owned = engine.owned();
                if owned.is_empty() {
                    shards.down("this instance owns no shard");
                } else {
                    let all = engine.shard_count().get();
                    shards.up_with(format!("owns {} of {all}", owned.len()));
                }
                // Until the first shard is there it looks more often: somebody waits for it.
                let pulse = if owned.is_empty() { PULSE / 10 } else { PULSE };
                tokio::select! {
                    () = tokio::time::sleep(pulse) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }

    fn watch_bus(&self, bus: Arc<dyn Bus>, health: Dependency) {
        let shutdown = self.shutdown.draining().clone();
        tokio::spawn(async move {
            while !shutdown.is_cancelled() {
                match bus.ping().await {
                    Ok(()) => health.up(),
                    Err(error) => health.down(error.to_string()),
                }
                tokio::select! {
                    () = tokio::time::sleep(PULSE) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }

    /// Runs until a signal, until the engine fails by itself, or until `unusable` tells why this process cannot work;
    /// then ends in order: not ready, listening no more, requests answered, engine stopped, spans sent.
    ///
    /// # Errors
    /// If it did not end by a signal.
    pub async fn run(self, running: Option<Running>, unusable: impl Future<Output = Stop>) -> Result<(), Stop> {
        let mut outcome = Ok(());
        let mut running = running;
        if let Some(running) = &mut running {
            tokio::select! {
                () = self.shutdown.draining().cancelled() => {}
                () = running.failed() => {
                    outcome = Err(Stop::Failed("a part of the engine ended; see the log".to_owned()));
                }
                stop = unusable => outcome = Err(stop),
            }
            if outcome.is_err() {
                // It is of no use any more: nobody needs to see it go.
                self.shutdown.at_once();
            }
        }
        let until = Instant::now() + ENGINE_WITHIN;
        self.health.drain();
        if self.http.await.is_err() {
            tracing::error!("The HTTP server ended badly");
        }
        if let Some(running) = running {
            running.stop(until.saturating_duration_since(Instant::now())).await;
        }
        self.telemetry.shutdown(SPANS_WITHIN).await;
        tracing::info!("Ended");
        outcome
    }
}

/// Asks until there is an answer; none if the end comes first.
///
/// # Errors
/// What is refused for good.
pub async fn patiently<T, F>(shutdown: &Shutdown, health: &Dependency, ask: impl Fn() -> F) -> Result<Option<T>, Stop>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(StoreError::Refused(why)) => return Err(Stop::Failed(why)),
            Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
                health.down(error.to_string());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PULSE) => {}
            () = shutdown.draining().cancelled() => return Ok(None),
        }
    }
}

/// The catalog with the settings in force.
fn resolved(timing: Timing) -> Result<Vec<Definition>, Stop> {
    let definitions = catalog::blueprints().into_iter().map(|blueprint| {
        let name = blueprint.name.clone();
        Definition::new(blueprint, timing.policy)
            .map_err(|error| Stop::Usage(format!("the definition {name}: {error}")))
    });
    definitions.collect()
}
