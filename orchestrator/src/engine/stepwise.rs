//! One instance, step by step: the same loop and the same keeper of leases as an [`Engine`](super::Engine), driven
//! by a simulator in place of tasks and clocks. Nothing here happens by itself, and time is what the simulator says.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use saga_model::Micros;
use saga_model::ids::ShardId;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::commit_loop::{CommitLoop, Parts};
use super::control::Control;
use super::core::Core;
use super::doubt::Doubt;
use super::inbox::Inbox;
use super::input::{Answer, ReplyInput, Submission, Submitted};
use super::intake;
use super::shards::Keeper;
use super::watchers::Watchers;
use super::{EngineParts, StartRequest};
use crate::bus::{Bus, Incoming};
use crate::store::{Result, Store};

/// An instance that moves only when it is told to.
pub struct Stepwise {
    commit_loop: CommitLoop,
    keeper: Keeper,
    inbox: Arc<Inbox>,
    watchers: Arc<Watchers>,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
}

impl Stepwise {
    /// An instance that owns nothing yet; `time` is its clock, in microseconds.
    pub fn new(parts: EngineParts, time: Arc<AtomicI64>) -> Self {
        let EngineParts { store, bus, acks, ids, definitions, shard_count, instance, lease, now, meters, tracer } =
            parts;
        let (inbox, watchers) = (Arc::new(Inbox::default()), Arc::new(Watchers::default()));
        let clock = Arc::new(Clock::Manual(time));
        let (doubt, retake) = Doubt::new();
        let core = Core::new(shard_count, definitions.clone(), ids, now);
        let loop_parts = Parts {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            inbox: inbox.clone(),
            acks,
            watchers: watchers.clone(),
            meters,
            tracer,
        };
        let keeper = Keeper {
            store: store.clone(),
            instance,
            lease,
            clock,
            definitions,
            inbox: inbox.clone(),
            watchers: watchers.clone(),
            retake,
        };
        let commit_loop = CommitLoop::new(loop_parts, core, doubt, CancellationToken::new());
        Self { commit_loop, keeper, inbox, watchers, store, bus }
    }

    /// One turn of the commit loop: what came in, what is due, one commit, and what follows.
    pub async fn turn(&mut self) {
        self.commit_loop.turn().await;
    }

    /// One heartbeat and what follows from it: shards are taken, loaded, given up. The loop turns meanwhile.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn keep_leases(&mut self) -> Result<()> {
        let Self { commit_loop, keeper, inbox, .. } = self;
        let mut round = pin!(keeper.round());
        loop {
            tokio::select! {
                biased;
                outcome = &mut round => return outcome.map(|_settled| ()),
                () = inbox.filled() => {}
            }
            commit_loop.turn().await;
        }
    }

    /// Messages of reply partitions, as the bus has them.
    pub async fn deliver(&self, replies: Vec<(ShardId, Incoming)>) {
        let read = |(shard, incoming)| ReplyInput { shard, reading: intake::read(&incoming), incoming };
        self.inbox.replies(replies.into_iter().map(read).collect()).await;
    }

    /// Asks for a saga; the answer comes with a turn.
    pub fn submit(&self, request: StartRequest) -> oneshot::Receiver<Submitted> {
        let (answer, receiver, _withdrawal) = Answer::new();
        let StartRequest { definition, input, user_id, business_key, key, traceparent, actor } = request;
        let submission =
            Submission { definition, input, user_id, business_key, key, traceparent, actor, minted: None, answer };
        if let Err(mut refused) = self.inbox.submit(submission) {
            refused.answer.give(Submitted::Unavailable("too many requests are waiting".to_owned()));
        }
        receiver
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

    /// Looks at the broker for how far the workers have come.
    pub async fn look(&mut self) {
        for topic in self.watchers.waiting_topics() {
            if let Ok(progress) = self.bus.progress(&topic).await {
                let (done, _noted) = oneshot::channel();
                self.inbox.control(Control::Progress { topic, progress, done });
                self.commit_loop.turn().await;
            }
        }
    }

    /// When a timer is due next, after `now`.
    pub fn next_due(&self, now: Micros) -> Option<Micros> {
        self.commit_loop.core.next_due(now)
    }

    /// The shards that it owns.
    pub fn owned(&self) -> Vec<ShardId> {
        self.watchers.owned()
    }

    /// How many sagas it has in memory.
    pub fn live(&self) -> usize {
        self.commit_loop.core.live()
    }
}
