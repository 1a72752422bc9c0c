//! One instance, step by step: the same loop, the same keeper of leases and the same door as those of an
//! [`Engine`](super::Engine), driven by a simulator in place of tasks and clocks. Nothing here happens by itself, and
//! time is what the simulator says. The parts may be driven in turn, each while another one waits in the middle of
//! something, as the tasks of an engine do.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use saga_model::ids::ShardId;
use saga_model::state::{CommandRef, Deadline, WakeUp};
use saga_model::{Micros, SagaId};
use tokio_util::sync::CancellationToken;

use super::assembly::Assembly;
use super::clock::Clock;
use super::commit_loop::CommitLoop;
use super::core::Live;
use super::inbox::Inbox;
use super::input::ReplyInput;
use super::shards::Keeper;
use super::submit::Front;
use super::timers::TimerKind;
use super::watchers::Watchers;
use super::{EngineParts, StartError, StartRequest, Started, intake, look};
use crate::bus::{Bus, Incoming};
use crate::store::{Result, Store};

/// An instance that moves only when it is told to.
pub struct Stepwise {
    pub turns: Turns,
    pub leases: Leases,
    pub door: Door,
}

/// Its commit loop.
pub struct Turns(CommitLoop);

/// Its keeper of leases.
pub struct Leases(Keeper);

/// What comes in: requests, replies, and what is seen at the broker. Clones share the instance.
#[derive(Clone)]
pub struct Door {
    front: Arc<Front>,
    inbox: Arc<Inbox>,
    watchers: Arc<Watchers>,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
}

/// A saga as an owner has it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    pub saga: SagaId,
    pub shard: ShardId,
    /// At which the shard is owned.
    pub epoch: u64,
    pub revision: u32,
}

impl Stepwise {
    /// An instance that owns nothing yet; `time` is its clock, in microseconds.
    pub fn new(parts: EngineParts, time: Arc<AtomicI64>) -> Self {
        let (store, bus) = (parts.store.clone(), parts.bus.clone());
        let Assembly { commit_loop, keeper, front, inbox, watchers } =
            Assembly::of(parts, Arc::new(Clock::Manual(time)), CancellationToken::new());
        Self { turns: Turns(commit_loop), leases: Leases(keeper), door: Door { front, inbox, watchers, store, bus } }
    }
}

impl Turns {
    /// One turn of the commit loop: what came in, what is due, one commit, and what follows.
    pub async fn turn(&mut self) {
        self.0.turn().await;
    }

    /// When a timer is due next, after `now`.
    pub fn next_due(&self, now: Micros) -> Option<Micros> {
        self.0.core.next_due(now)
    }

    /// The sagas that it has in memory.
    pub fn remembered(&self) -> impl Iterator<Item = Remembered> {
        self.0.core.sagas.values().filter_map(|live| {
            let epoch = self.0.core.epoch(live.shard)?;
            Some(Remembered {
                saga: live.record.saga.id,
                shard: live.shard,
                epoch,
                revision: live.record.saga.revision,
            })
        })
    }

    /// A saga in memory whose armed timers are not those that its state asks for.
    pub fn wrongly_armed(&self) -> Option<SagaId> {
        let core = &self.0.core;
        let wrong = |live: &&Live| {
            let saga = &live.record.saga;
            let held = saga.at_rest();
            let taken = |command: CommandRef| live.taken.is_some_and(|(taken, _)| taken == command);
            let wake_up = saga.wake_up(&live.definition).filter(|_| !held);
            let armed = |kind| core.timers.get(saga.id, kind).is_some();
            armed(TimerKind::Backoff) != matches!(wake_up, Some(WakeUp::Backoff { .. }))
                || armed(TimerKind::NoAnswer)
                    != matches!(wake_up, Some(WakeUp::Reply { command, .. }) if taken(command))
                || armed(TimerKind::Deadline) != (matches!(saga.deadline, Deadline::At(_)) && !held)
        };
        core.sagas.values().find(wrong).map(|live| live.record.saga.id)
    }
}

impl Leases {
    /// One heartbeat and what follows from it: shards are taken, loaded, given up. It needs the loop to turn meanwhile.
    /// `true` if the instance holds its share.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn round(&mut self) -> Result<bool> {
        self.0.round().await
    }
}

impl Door {
    /// Starts a saga as [`Engine::begin`](super::Engine::begin) does; the answer needs the loop to turn.
    ///
    /// # Errors
    /// Why no saga was started.
    pub async fn begin(self, request: StartRequest) -> std::result::Result<Started, StartError> {
        self.front.start(request).await
    }

    /// Messages of reply partitions, as the bus has them.
    pub async fn deliver(&self, replies: Vec<(ShardId, Incoming)>) {
        let read = |(shard, incoming)| ReplyInput { shard, reading: intake::read(&incoming), incoming };
        self.inbox.replies(replies.into_iter().map(read).collect()).await;
    }

    /// Takes the pending requests of operators for its shards.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn take_requests(&self) -> Result<()> {
        for request in self.store.pending_requests(&self.watchers.owned()).await? {
            self.inbox.request(request);
        }
        Ok(())
    }

    /// Looks at the broker for how far the workers have come. It needs the loop to turn meanwhile.
    pub async fn look(self) {
        for topic in self.watchers.waiting_topics() {
            look::look(self.bus.as_ref(), &self.inbox, topic).await;
        }
    }

    /// The shards that it owns.
    pub fn owned(&self) -> Vec<ShardId> {
        self.watchers.owned()
    }

    /// Whether something waits for the loop: a turn may also find timers, acknowledgements or marks.
    pub fn waits(&self) -> bool {
        self.inbox.waits(true)
    }
}
