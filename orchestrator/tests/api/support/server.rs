//! The orchestrator under test.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use orchestrator::engine::{Acks, Definitions, Engine, EngineParts, Ids, LINGER_AFTER, MAX_MOVING, Meters, Running};
use orchestrator::http::{Api, More, router};
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::{InstanceId, Store};
use saga_model::catalog::order;
use saga_model::definition::{Blueprint, InputForm, Policy, SagaEvents, StepClass, StepDef, StepEvents};
use saga_model::ids::ShardCount;
use saga_model::micros::Millis;
use saga_model::{Definition, Micros};
use service::health::{Effect, Health};
use service::http::serve;
use service::keys::ApiKeys;
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use service::telemetry::Telemetry;
use service::time::now;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::bus::{Says, TestBus};
use super::client::Client;
use super::spy::Spy;

/// One orchestrator, ready.
pub struct Server {
    pub store: Arc<Spy>,
    pub bus: Arc<TestBus>,
    pub health: Health,
    client: Client,
    stop: Shutdown,
    running: Option<Running>,
}

/// What a test may want otherwise.
pub struct Options {
    pub open_scopes: &'static str,
    pub policy: Policy,
    /// What is served at the same address.
    pub more: More,
}

impl Default for Options {
    fn default() -> Self {
        Self { open_scopes: "submit,read", policy: POLICY, more: Router::new().into() }
    }
}

pub const POLICY: Policy = Policy {
    step_timeout: Millis(60_000),
    step_attempts: 3,
    compensation_attempts: 2,
    retry_base: Millis(1),
    retry_cap: Millis(1),
    saga_deadline: Millis(3_600_000),
};

/// The keys of every server; the secret of each is its name and `-secret`.
const KEYS: &str = "ops:ops-secret:admin,shop:shop-secret:submit,eye:eye-secret:read,both:both-secret:submit+read";

impl Server {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let store = MemoryStore::new(ShardCount::new(4).unwrap(), Arc::new(now));
        Self::on(Arc::new(Spy::new(store)), options).await
    }

    async fn on(store: Arc<Spy>, options: Options) -> Self {
        let metrics = Metrics::new();
        let shard_count = store.shard_count().await.unwrap();
        let acks = Arc::new(Acks::default());
        let bus = Arc::new(TestBus::new(acks.sink(), shard_count));
        let active =
            [order::blueprint(), parcel()].map(|blueprint| Definition::new(blueprint, options.policy).unwrap());
        let definitions = Arc::new(Definitions::pin(store.as_ref(), active.into()).await.unwrap());
        let (engine, running) = Engine::start(EngineParts {
            store: store.clone(),
            bus: bus.clone(),
            acks,
            max_moving: MAX_MOVING,
            linger_after: LINGER_AFTER,
            ids: Arc::new(RandomIds),
            definitions,
            shard_count,
            instance: InstanceId("test".to_owned()),
            lease: Millis(10_000),
            now: now(),
            meters: Meters::register(&metrics),
            tracer: Telemetry::to(None).tracer("saga").unwrap(),
        });
        let health = Health::new();
        let shards = health.register("shards", Effect::NotReady);
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        while engine.owned().len() < usize::from(shard_count.get()) {
            pace.tick().await;
        }
        shards.up();
        let stop = Shutdown::new();
        let api = Api {
            engine,
            keys: Arc::new(ApiKeys::new(KEYS.parse().unwrap(), options.open_scopes.parse().unwrap())),
            health: health.clone(),
            metrics,
            draining: stop.draining().clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(serve(listener, router(api, options.more), stop.clone(), Duration::from_secs(5)));
        Self { store, bus, health, client, stop, running: Some(running) }
    }

    /// A client without a key.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client with the key of that name.
    pub fn key(&self, name: &str) -> Client {
        self.client.with_key(&format!("{name}-secret"))
    }

    /// A client with the admin key.
    pub fn ops(&self) -> Client {
        self.key("ops")
    }

    /// Begins to end, as after SIGTERM, with a grace that lasts.
    pub fn drain(&self) {
        self.health.drain();
        self.stop.drain();
    }

    /// Begins to end without a grace.
    pub fn end(&self) {
        self.health.drain();
        self.stop.at_once();
    }

    /// Ends the engine within that time, and leaves the routes.
    pub async fn stop_engine(&mut self, within: Duration) {
        self.running.take().unwrap().stop(within).await;
    }

    /// From now on every command is answered with success.
    pub fn happy(&self) {
        self.bus.workers(|_| Some((saga_model::state::Outcome::Succeeded, "")));
    }

    /// From now on commands of one step are answered so, all others with success.
    pub fn workers(&self, step: &'static str, says: Says) {
        self.bus.workers(
            move |command| {
                if command.step == step { says } else { Some((saga_model::state::Outcome::Succeeded, "")) }
            },
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.at_once();
    }
}

pub struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&self, _: Micros) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> u128 {
        Uuid::new_v4().as_u128()
    }
}

/// A definition that is no order: its input may be any object.
pub fn parcel() -> Blueprint {
    let step = |name: &str, class| StepDef {
        name: name.to_owned(),
        class,
        closing: false,
        topic: "parcel.commands".to_owned(),
        events: StepEvents::default(),
        timeout: None,
        attempts: None,
        compensation_attempts: None,
    };
    Blueprint {
        name: "parcel".to_owned(),
        version: 3,
        input: InputForm::Object,
        steps: vec![
            step("pack", StepClass::Undoable),
            step("hand-over", StepClass::Pivot),
            StepDef { timeout: Some(Millis(1_500)), attempts: Some(7), ..step("tell", StepClass::Retriable) },
        ],
        events: SagaEvents::default(),
    }
}
