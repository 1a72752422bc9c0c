//! The engine: everything that happens becomes an event and takes one corridor.
//!
//! ```text
//!  begin() ------> inbox --.                                              .--> commands, domain events -> bus
//!  bus -> intake -> inbox --+-> commit loop: draft, ONE commit, settle ---+--> timers
//!  timers ------------------+                                             '--> callers who wait
//!  ask() -> mailbox (SQL) --'
//! ```
//!
//! Load, [`saga_model::advance()`], commit, and only then act. What was committed and not sent is found again in
//! the rows by whoever owns the shard next ([`recover`]), so that starting up *is* recovery.
//!
//! The modules in the order of the road:
//!
//! * `submit`: from a caller's request to a saga, or to the one that its idempotency key stands for
//! * `mailbox`: operators' requests, rows in SQL that the owner of the saga answers
//! * `intake`: replies, read from the bus
//! * `inbox`: where they wait for the loop, as `input` says what they are; `control` is what is no transition
//! * `commit_loop`: one turn after the other, over all shards of this instance
//! * `due`: which `timers` fire with a turn, by the time of `clock`
//! * `carry`: a turn's inputs through all that follows, and what to do if the commit does not happen
//! * `drafting`: inputs become events, and go through advance on copies
//! * `draft`: what one commit will store
//! * `settle`: from a draft to a batch, and after its commit memory and timers (`core`); `lingering` decides how the next
//!   owner will find its sagas
//! * `watchers`: whoever waits for a saga is told
//! * `departure`: the batch's messages, written by `messages`, leave while the next one is stored
//! * `watermark`: how far they have left
//! * `taken`: which commands their workers have taken, as `look` sees at the broker; `untaken`: since when the others wait
//!
//! Off the road: `assembly` (the parts put together), `poison` and `doubt` (what the store refuses; a commit whose
//! outcome is unknown), `shards`, `recover` and `definitions` (which shards are ours, how one is taken over, what its
//! sagas may run), `letters` (what operators do about dead letters), `refusal` (why a verb was refused, by its code),
//! `report`, `meters` and `trace` (what is told of it), `onward` (work that outlives its caller), `stepwise` (all of it, driven by a simulator).

mod assembly;
mod carry;
mod clock;
mod commit_loop;
mod control;
mod core;
mod definitions;
mod departure;
mod doubt;
mod draft;
mod drafting;
mod due;
mod inbox;
mod input;
mod intake;
mod letters;
mod lingering;
mod look;
mod mailbox;
mod messages;
mod meters;
mod onward;
mod poison;
mod recover;
pub(crate) mod refusal;
mod report;
mod settle;
mod shards;
pub mod stepwise;
mod submit;
mod taken;
mod timers;
mod trace;
mod untaken;
mod watchers;
mod watermark;

use std::sync::Arc;
use std::time::Duration;

use saga_model::ids::{ShardCount, ShardId};
use saga_model::micros::Millis;
use saga_model::{Definition, Micros, SagaId};
use service::telemetry::Tracer;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::commit_loop::{Acks, MAX_MOVING};
pub use self::core::Ids;
pub use self::lingering::LINGER_AFTER;
pub use definitions::Definitions;
pub use input::{KeyedRequest, Submitted};
pub use letters::{LetterAction, LetterOutcome};
pub use messages::domain_event;
pub use meters::Meters;
pub use submit::{StartError, StartRequest, Started};

use self::assembly::Assembly;
use self::clock::Clock;
use self::draft::said;
use self::inbox::Closing;
use self::mailbox::Mailbox;
use self::onward::Onward;
use self::submit::Front;
use self::watchers::Watchers;
use crate::bus::Bus;
use crate::store::rows::{AdminAnswer, AdminRequest, SagaRecord};
use crate::store::{InstanceId, Result, Store};

/// What an engine is made of.
pub struct EngineParts {
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    /// Where the bus puts its acknowledgements.
    pub acks: Arc<Acks>,
    /// Sagas neither paused nor stuck, over which no new ones are taken in; [`MAX_MOVING`] unless it is a test.
    pub max_moving: usize,
    /// See [`LINGER_AFTER`], which it is unless it is a test.
    pub linger_after: Millis,
    pub ids: Arc<dyn Ids>,
    pub definitions: Arc<Definitions>,
    pub shard_count: ShardCount,
    pub instance: InstanceId,
    pub lease: Millis,
    /// The database's clock at start.
    pub now: Micros,
    pub meters: Meters,
    /// Of the service `saga`.
    pub tracer: Tracer,
}

/// A running engine. Cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Engine {
    front: Arc<Front>,
    mailbox: Arc<Mailbox>,
    watchers: Arc<Watchers>,
    clock: Arc<Clock>,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    definitions: Arc<Definitions>,
    shard_count: ShardCount,
}

/// The tasks of an engine.
pub struct Running {
    tasks: JoinSet<()>,
    bus: Arc<dyn Bus>,
    shutdown: CancellationToken,
}

impl Engine {
    /// Starts the tasks of an engine. It owns shards, and takes sagas in, a moment later.
    pub fn start(parts: EngineParts) -> (Self, Running) {
        let (store, bus) = (parts.store.clone(), parts.bus.clone());
        let (definitions, shard_count) = (parts.definitions.clone(), parts.shard_count);
        let shutdown = CancellationToken::new();
        let clock = Arc::new(Clock::starting_at(parts.now));
        let Assembly { commit_loop, keeper, front, inbox, watchers } =
            Assembly::of(parts, clock.clone(), shutdown.clone());
        let mailbox = Arc::new(Mailbox::new(store.clone(), watchers.clone(), clock.clone()));
        let (ended, loop_ended) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let closing = Closing(inbox.clone());
        tasks.spawn(async move {
            commit_loop.run().await;
            drop(closing);
            // The keeper waits for this, unless it has ended itself.
            let _ = ended.send(());
        });
        tasks.spawn(keeper.run(shutdown.clone(), loop_ended));
        tasks.spawn(intake::run(bus.clone(), inbox.clone(), shutdown.clone()));
        tasks.spawn(look::run(bus.clone(), inbox.clone(), watchers.clone(), shutdown.clone()));
        tasks.spawn(mailbox.clone().run(inbox.clone(), shutdown.clone()));
        tasks.spawn(watchers.clone().run(store.clone(), shutdown.clone()));
        let engine = Self { front, mailbox, watchers, clock, store, bus: bus.clone(), definitions, shard_count };
        (engine, Running { tasks, bus, shutdown })
    }

    /// Starts a saga, or finds the one that the request's idempotency key stands for. It goes on if the caller
    /// goes away.
    ///
    /// # Errors
    /// Why no saga was started.
    pub async fn begin(&self, request: StartRequest) -> std::result::Result<Started, StartError> {
        let front = self.front.clone();
        let started = Onward::new(async move { front.start(request).await }).await;
        started.unwrap_or_else(|panic| Err(StartError::Failed(format!("it panicked: {}", said(&*panic)))))
    }

    /// Puts an operator's request to whoever owns its saga and waits for the answer; none if nobody answered in
    /// time, and then nothing was done.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn ask(&self, request: AdminRequest) -> Result<Option<AdminAnswer>> {
        let mailbox = self.mailbox.clone();
        match tokio::spawn(async move { mailbox.ask(&request).await }).await {
            Ok(answer) => answer,
            Err(error) => Err(crate::store::StoreError::Unavailable(error.to_string())),
        }
    }

    /// The saga once it is at rest, or as it is after `at_most`; none if there is no such saga.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn at_rest(&self, saga: SagaId, at_most: Duration) -> Result<Option<SagaRecord>> {
        let Some(record) = self.saga(saga).await? else { return Ok(None) };
        if record.saga.at_rest() || at_most.is_zero() {
            return Ok(Some(record));
        }
        match self.watchers.at_rest(saga, at_most).await {
            Some(record) => Ok(Some(record)),
            None => self.saga(saga).await,
        }
    }

    /// A saga as it is stored.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn saga(&self, saga: SagaId) -> Result<Option<SagaRecord>> {
        self.store.saga(saga).await
    }

    /// The definition that a saga pins; it may be one that another instance has brought since.
    ///
    /// # Errors
    /// If the database is away.
    pub async fn definition_of(&self, record: &SagaRecord) -> Result<Option<Arc<Definition>>> {
        let id = record.origin.definition;
        if let Some(known) = self.definitions.get(id) {
            return Ok(Some(known));
        }
        self.definitions.refresh(self.store.as_ref()).await?;
        Ok(self.definitions.get(id))
    }

    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The corridor's time.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// The shard of a saga.
    pub fn shard_of(&self, saga: SagaId) -> ShardId {
        saga.slot().shard(self.shard_count)
    }

    pub fn shard_count(&self) -> ShardCount {
        self.shard_count
    }

    /// The shards that this instance owns.
    pub fn owned(&self) -> Vec<ShardId> {
        self.watchers.owned()
    }
}

impl Running {
    /// Ends the engine: what came in is stored and answered, messages leave, leases are given up. What is not done
    /// after `within` (with a database that says nothing) is cut off: nobody was told that it is stored, and whoever
    /// takes the shards next goes on from what is.
    pub async fn stop(mut self, within: Duration) {
        let until = Instant::now() + within;
        self.shutdown.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "A task of the engine ended badly");
                }
            }
        };
        if tokio::time::timeout_at(until, all).await.is_err() {
            tracing::warn!("The engine was not done in time and is cut off; the next owner of its shards goes on");
            self.tasks.shutdown().await;
        }
        self.bus.flush(until.saturating_duration_since(Instant::now())).await;
    }

    /// Waits until a task of the engine ends by itself, which none does unless something is badly wrong.
    pub async fn failed(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(error)) => tracing::error!(%error, "A task of the engine ended badly"),
            Some(Ok(())) | None => tracing::error!("A task of the engine ended"),
        }
    }
}
