//! The heart: collect, advance, one commit, and only then act. One loop an instance, over all its shards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saga_model::ids::ShardId;
use service::telemetry::Tracer;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::control::Control;
use super::core::Core;
use super::departure::Departure;
use super::doubt::Doubt;
use super::draft::Draft;
use super::inbox::Inbox;
use super::meters::Meters;
use super::settle::ReplyMarks;
use super::watchers::Watchers;
use crate::bus::{Ack, AckSink, Bus, NoReplyEnd};
use crate::store::{Committed, Store, StoreError};

/// Marks that moved are stored after this many microseconds if no transition takes them along.
const MARKS_IDLE: i64 = 500_000;
/// The longest wait of the loop: acknowledgements and marks are looked at that often.
const IDLE: Duration = Duration::from_millis(100);
/// Messages on their way out, over which no new sagas are taken in.
pub const MAX_UNACKED: usize = 200_000;
/// Sagas neither paused nor stuck, over which no new ones are taken in: some 5 KB of memory each.
pub const MAX_MOVING: usize = 100_000;

/// Acknowledgements on their way from the bus's threads to the loop.
#[derive(Debug, Default)]
pub struct Acks(Mutex<Vec<Ack>>);

impl Acks {
    /// Where a bus puts its acknowledgements.
    pub fn sink(self: &Arc<Self>) -> AckSink {
        let acks = self.clone();
        Arc::new(move |ack| acks.push(ack))
    }

    pub fn push(&self, ack: Ack) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
    }

    fn take(&self) -> Vec<Ack> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the loop works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<Clock>,
    pub inbox: Arc<Inbox>,
    pub acks: Arc<Acks>,
    pub max_moving: usize,
    pub watchers: Arc<Watchers>,
    pub meters: Meters,
    pub tracer: Tracer,
}

pub struct CommitLoop {
    pub(super) parts: Parts,
    pub(super) core: Core,
    pub(super) doubt: Doubt,
    /// What the last batch sends, while more waits to be stored.
    pub(super) departure: Option<Departure>,
    pub(super) shutdown: CancellationToken,
}

impl CommitLoop {
    pub fn new(parts: Parts, core: Core, doubt: Doubt, shutdown: CancellationToken) -> Self {
        Self { parts, core, doubt, departure: None, shutdown }
    }

    /// Runs until shutdown; what is under way is finished.
    pub async fn run(mut self) {
        while !self.shutdown.is_cancelled() {
            let now = self.parts.clock.now();
            let wait = self.core.next_due(now).map_or(IDLE, |at| self.parts.clock.until(at).min(IDLE));
            tokio::select! {
                () = self.parts.inbox.filled() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.cancelled() => {}
            }
            self.turn().await;
        }
        // What came in before the end is still answered, and the last marks are stored.
        self.turn().await;
        self.leave();
        self.store_marks(true).await;
    }

    pub(super) async fn turn(&mut self) {
        for ack in self.parts.acks.take() {
            self.core.note_ack(&ack);
        }
        let full = self.parts.bus.unacked() >= MAX_UNACKED || self.core.moving() >= self.parts.max_moving;
        self.parts.inbox.set_full(full);
        let admit = self.doubt.is_none() && self.core.owns_any() && !full;
        let taken = self.parts.inbox.take(admit);
        if !taken.control.is_empty() {
            self.leave();
        }
        for control in taken.control {
            self.control(control).await;
        }
        let mut inputs = taken.inputs;
        let now = self.parts.clock.now();
        if self.doubt.is_none() {
            let due = self.core.due(now);
            inputs.extend(due.inputs);
            for (shard, epoch) in due.ask_reply_end {
                self.ask_reply_end(shard, epoch);
            }
        }
        self.core.note_untaken(now);
        if inputs.is_empty() {
            self.leave();
            self.store_marks(false).await;
        } else {
            self.carry(inputs).await;
        }
        if !self.parts.inbox.waits(admit) {
            self.leave();
        }
        self.parts.watchers.set_waiting_topics(self.core.waiting_topics());
    }

    async fn control(&mut self, control: Control) {
        match control {
            // Loaded before the doubt began. What is stored in it now might come into doubt too, and who waits for the first
            // doubt would be answered by the end of the second. The keeper finds it not in memory, and takes it again.
            Control::Install { done, .. } if self.doubt.is_some() => {
                let _ = done.send(()); // the keeper may have ended
            }
            Control::Install { loaded, done } => {
                let (shard, offset) = (loaded.grant.shard, loaded.grant.reply_offset);
                tracing::info!(%shard, epoch = loaded.grant.epoch, sagas = loaded.live.len(), "Shard taken");
                let now = self.parts.clock.now();
                let send = self.core.install(*loaded, self.parts.bus.forgets(), now);
                self.core.untaken_unknown(now);
                self.weigh(shard, 1);
                self.parts.bus.send(send);
                self.parts.bus.assign_replies(shard, offset);
                self.parts.watchers.set_owned(self.core.owned());
                let _ = done.send(()); // the keeper may have ended
            }
            Control::Release { shard, done } => {
                let epoch = self.drop_shard(shard);
                // The asker may have given up meanwhile; the shard is dropped all the same.
                let _ = done.send(epoch);
            }
            Control::Retaken => self.resolve_doubt().await,
            Control::Progress { topic, progress, done } => {
                let send = self.core.note_progress(&topic, &progress, self.parts.clock.now());
                self.parts.bus.send(send);
                let _ = done.send(()); // whoever looked may have ended
            }
            Control::ReplyEnd { shard, epoch, end } => {
                self.core.note_reply_end(shard, epoch, end, self.parts.clock.now());
            }
        }
    }

    /// Takes the sagas of a shard in or out of the count of what is in flight.
    fn weigh(&self, shard: ShardId, by: i64) {
        self.core.sagas.values().filter(|live| live.shard == shard).for_each(|live| self.parts.meters.weigh(live, by));
    }

    pub(super) fn drop_shard(&mut self, shard: ShardId) -> Option<u64> {
        self.parts.bus.unassign_replies(shard);
        self.weigh(shard, -1);
        let epoch = self.core.drop_shard(shard);
        self.parts.inbox.retain_replies(|reply| reply.shard != shard);
        self.parts.watchers.set_owned(self.core.owned());
        epoch
    }

    /// Drops the shards of which a commit said that another instance has taken them.
    pub(super) fn drop_lost(&mut self, lost: Vec<ShardId>) {
        for shard in lost {
            tracing::warn!(%shard, "Shard lost: another instance has taken it");
            self.drop_shard(shard);
        }
    }

    pub(super) async fn store_marks(&mut self, at_once: bool) {
        let now = self.parts.clock.now();
        let waits = !at_once && now.since(self.core.stored_at) < MARKS_IDLE;
        if self.doubt.is_some() || waits || !self.core.marks_moved(now) {
            return;
        }
        let mut draft = Draft::new(now);
        let batch = self.core.encode(&mut draft, &ReplyMarks::new());
        match self.parts.store.commit(&batch).await {
            Ok(Committed::All) => self.core.marks_stored(&batch, now),
            Ok(Committed::FenceLost(lost)) => self.drop_lost(lost),
            // Marks may always be behind; they are stored at the next turn.
            Ok(Committed::KeysTaken(_) | Committed::RequestsWithdrawn(_)) => {}
            // Nothing else may come for long to find it out. At the end, whoever takes the shards does.
            Err(StoreError::OutcomeUnknown(why)) if !at_once => {
                tracing::warn!(error = %why, "Marks may or may not be stored; taking the shards again");
                self.begin_doubt(std::iter::empty());
            }
            Err(error) => {
                self.core.hold_flags(&batch, now);
                self.core.stored_at = now;
                tracing::warn!(%error, "Marks could not be stored; trying again");
            }
        }
    }

    fn ask_reply_end(&self, shard: ShardId, epoch: u64) {
        let (bus, inbox) = (self.parts.bus.clone(), self.parts.inbox.clone());
        tokio::spawn(async move {
            let end = bus.reply_end(shard).await;
            if matches!(end, Err(NoReplyEnd::Unknown(_))) {
                tokio::time::sleep(IDLE).await;
            }
            inbox.control(Control::ReplyEnd { shard, epoch, end });
        });
    }

    async fn resolve_doubt(&mut self) {
        let resubmit = self.doubt.resolve(self.parts.store.as_ref(), &self.shutdown).await;
        self.parts.inbox.resubmit(resubmit);
    }
}
