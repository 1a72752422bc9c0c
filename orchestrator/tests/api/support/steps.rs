//! The engine alone, step by step: what one turn of its loop takes, stores and sends.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use orchestrator::bus::{Incoming, topics};
use orchestrator::engine::stepwise::Stepwise;
use orchestrator::engine::{
    Acks, Definitions, EngineParts, KeyedRequest, LINGER_AFTER, MAX_MOVING, Meters, StartError, StartRequest, Started,
};
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::IdempotencyKey;
use orchestrator::store::{InstanceId, Store, StoreError};
use saga_model::event::Actor;
use saga_model::ids::{ShardCount, ShardId};
use saga_model::json::RawJson;
use saga_model::micros::Millis;
use saga_model::state::Outcome;
use saga_model::wire::command::Command;
use saga_model::wire::reply;
use saga_model::{Definition, Micros, SagaId};
use service::metrics::Metrics;
use service::telemetry::Telemetry;
use tokio::task::JoinHandle;

use super::bus::TestBus;
use super::server::{POLICY, RandomIds, parcel};
use super::spy::Spy;

const LEASE: Millis = Millis(10_000);

/// One instance over all shards, and the time.
pub struct Steps {
    pub store: Arc<Spy>,
    pub bus: Arc<TestBus>,
    engine: Stepwise,
    time: Arc<AtomicI64>,
    max_moving: usize,
}

impl Steps {
    /// An instance that owns all `shards`.
    pub async fn new(shards: u16) -> Self {
        Self::with(shards, MAX_MOVING).await
    }

    /// One that takes no sagas in while so many move.
    pub async fn with(shards: u16, max_moving: usize) -> Self {
        let time = Arc::new(AtomicI64::new(1_000_000));
        let now = {
            let time = time.clone();
            move || Micros(time.load(Ordering::SeqCst))
        };
        let store = Arc::new(Spy::new(MemoryStore::new(ShardCount::new(shards).unwrap(), Arc::new(now))));
        let (engine, bus) = instance(&store, &time, "first", max_moving).await;
        let mut steps = Self { store, bus, engine, time, max_moving };
        keep_leases(&mut steps.engine).await;
        assert_eq!(steps.engine.door.owned().len(), usize::from(shards));
        steps
    }

    /// The process dies, and another takes its shards.
    pub async fn another(self) -> Self {
        let mut steps = self.stranger().await;
        keep_leases(&mut steps.engine).await;
        assert!(!steps.owned().is_empty());
        steps
    }

    /// The process dies, and another tries to take its shards, which does not work out for all.
    pub async fn another_tries(self) -> Self {
        let mut steps = self.stranger().await;
        try_to_keep_leases(&mut steps.engine).await.unwrap_err();
        steps
    }

    /// The process dies, its leases run out, and there is another that has no shards.
    pub async fn stranger(self) -> Self {
        let Self { store, time, engine, max_moving, .. } = self;
        drop(engine);
        time.fetch_add(2 * LEASE.0 as i64 * 1_000, Ordering::SeqCst);
        let (engine, bus) = instance(&store, &time, "second", max_moving).await;
        Self { store, bus, engine, time, max_moving }
    }

    /// A round of the keeper of leases.
    pub async fn keep_leases(&mut self) {
        keep_leases(&mut self.engine).await;
    }

    pub fn owned(&self) -> Vec<ShardId> {
        self.engine.door.owned()
    }

    /// A turn of the loop.
    pub async fn turn(&mut self) {
        self.engine.turns.turn().await;
    }

    /// Turns of the loop, between which whoever asks the broker gets an answer.
    pub async fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.turn().await;
            tokio::task::yield_now().await;
        }
    }

    /// How far the workers have come is looked at.
    pub async fn look(&mut self) {
        let looking = tokio::spawn(self.engine.door.clone().look());
        while !looking.is_finished() {
            self.engine.turns.turn().await;
            tokio::task::yield_now().await;
        }
    }

    /// Time passes.
    pub fn pass(&self, time: Duration) {
        self.time.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// A turn at which marks that have moved are stored by themselves.
    pub async fn idle(&mut self) {
        self.pass(Duration::from_secs(1));
        self.engine.turns.turn().await;
    }

    /// Starts as many sagas; returns the commands that they send.
    pub async fn started(&mut self, sagas: usize) -> Vec<Command> {
        drop(self.begin(vec![request("{}"); sagas]));
        // Each of them gets as far as the inbox.
        for _ in 0..10 * sagas {
            tokio::task::yield_now().await;
        }
        self.engine.turns.turn().await;
        let commands = self.bus.commands();
        assert_eq!(commands.len(), sagas);
        commands
    }

    /// Asks for these sagas, all at once; they are not stored before the next turn.
    pub fn begin(&self, requests: Vec<StartRequest>) -> Vec<JoinHandle<Result<Started, StartError>>> {
        requests.into_iter().map(|request| tokio::spawn(self.engine.door.clone().begin(request))).collect()
    }

    /// Replies are read, from offset 0 of a shard's partition.
    pub async fn read(&self, shard: u16, values: Vec<Vec<u8>>) {
        let incoming = |(offset, value): (i64, Vec<u8>)| Incoming {
            partition: i32::from(shard),
            offset,
            key: None,
            value: Some(value),
            headers: service::headers::Headers::new(),
        };
        let replies = (0..).zip(values).map(|read| (ShardId(shard), incoming(read)));
        self.engine.door.deliver(replies.collect()).await;
    }

    /// The status of a saga as it is stored.
    pub async fn status(&self, saga: SagaId) -> &'static str {
        self.store.sagas(&[saga]).await.unwrap()[0].saga.status().as_str()
    }

    /// The revision of a saga as it is stored.
    pub async fn revision(&self, saga: SagaId) -> u64 {
        u64::from(self.store.sagas(&[saga]).await.unwrap()[0].saga.revision)
    }

    /// How many dead letters were sent.
    pub fn dead_letters(&self) -> usize {
        self.bus.others().iter().filter(|(topic, _)| topic == topics::DEAD_LETTERS).count()
    }
}

/// A heartbeat and what follows from it; the loop turns meanwhile.
async fn keep_leases(engine: &mut Stepwise) {
    try_to_keep_leases(engine).await.unwrap();
}

async fn try_to_keep_leases(engine: &mut Stepwise) -> Result<bool, StoreError> {
    let Stepwise { turns, leases, .. } = engine;
    let mut round = pin!(leases.round());
    loop {
        tokio::select! {
            biased;
            outcome = &mut round => return outcome,
            () = tokio::task::yield_now() => {}
        }
        turns.turn().await;
    }
}

/// A request for a parcel with this input.
pub fn request(input: &str) -> StartRequest {
    StartRequest {
        definition: "parcel".to_owned(),
        input: RawJson::from_string(input.to_owned()).unwrap(),
        user_id: None,
        business_key: None,
        key: None,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        actor: Actor::Key("anonymous".to_owned()),
    }
}

/// A request with an idempotency key.
pub fn keyed(key: &str, fingerprint: &str) -> StartRequest {
    let key = IdempotencyKey { caller: String::new(), path: "/sagas/parcel".to_owned(), key: key.to_owned() };
    StartRequest { key: Some(KeyedRequest { key, fingerprint: fingerprint.to_owned() }), ..request("{}") }
}

/// A reply that says that it went well.
pub fn success(command: &Command) -> Vec<u8> {
    reply::write(command, Outcome::Succeeded, Some(&RawJson::from_string("{}".to_owned()).unwrap()), None).unwrap()
}

async fn instance(store: &Arc<Spy>, time: &Arc<AtomicI64>, name: &str, max_moving: usize) -> (Stepwise, Arc<TestBus>) {
    let now = Micros(time.load(Ordering::SeqCst));
    let (parts, bus) = parts(store, now, name, max_moving).await;
    (Stepwise::new(parts, time.clone()), bus)
}

/// What an instance is made of.
pub async fn parts(store: &Arc<Spy>, now: Micros, name: &str, max_moving: usize) -> (EngineParts, Arc<TestBus>) {
    let acks = Arc::new(Acks::default());
    let shard_count = store.shard_count().await.unwrap();
    let bus = Arc::new(TestBus::new(acks.sink(), shard_count));
    let active = vec![Definition::new(parcel(), POLICY).unwrap()];
    let parts = EngineParts {
        store: store.clone(),
        bus: bus.clone(),
        acks,
        max_moving,
        linger_after: LINGER_AFTER,
        ids: Arc::new(RandomIds),
        definitions: Arc::new(Definitions::pin(store.as_ref(), active).await.unwrap()),
        shard_count,
        instance: InstanceId(name.to_owned()),
        lease: LEASE,
        now,
        meters: Meters::register(&Metrics::new()),
        tracer: Telemetry::to(None).tracer("saga").unwrap(),
    };
    (parts, bus)
}
