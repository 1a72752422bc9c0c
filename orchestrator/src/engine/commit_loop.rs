//! The heart: collect, advance, one commit, and only then act. One loop an instance, over all its shards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saga_model::SagaId;
use saga_model::ids::ShardId;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::control::Control;
use super::core::Core;
use super::doubt::Doubt;
use super::draft::Draft;
use super::drafting::Loaded;
use super::inbox::Inbox;
use super::input::{Input, Submitted};
use super::settle::Acts;
use super::watchers::Watchers;
use crate::bus::{Ack, Bus};
use crate::store::rows::{Batch, SagaRecord};
use crate::store::{Committed, Store, StoreError};

/// Marks that moved are stored after this many microseconds if no transition takes them along.
const MARKS_IDLE: i64 = 500_000;
/// The longest wait of the loop: acknowledgements and marks are looked at that often.
const IDLE: Duration = Duration::from_millis(100);
/// Messages on their way out, over which no new sagas are taken in.
pub const MAX_UNACKED: usize = 200_000;

/// Acknowledgements on their way from the bus's threads to the loop.
#[derive(Debug, Default)]
pub struct Acks(Mutex<Vec<Ack>>);

impl Acks {
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
    pub watchers: Arc<Watchers>,
}

pub struct CommitLoop {
    pub(super) parts: Parts,
    pub(super) core: Core,
    pub(super) doubt: Doubt,
    pub(super) shutdown: CancellationToken,
}

/// Inputs that go into one commit, and whether they are the last of their turn.
struct Part {
    inputs: Vec<Input>,
    with_marks: bool,
    /// They were refused alone before and stand here as failures of the engine.
    condemned: bool,
}

impl CommitLoop {
    pub fn new(parts: Parts, core: Core, doubt: Doubt, shutdown: CancellationToken) -> Self {
        Self { parts, core, doubt, shutdown }
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
        self.store_marks(true).await;
    }

    async fn turn(&mut self) {
        for ack in self.parts.acks.take() {
            self.core.note_ack(&ack);
        }
        let admit = self.doubt.is_none() && self.parts.bus.unacked() < MAX_UNACKED;
        let taken = self.parts.inbox.take(admit);
        for control in taken.control {
            self.control(control).await;
        }
        let mut inputs = taken.inputs;
        let now = self.parts.clock.now();
        if self.doubt.is_none() {
            let due = self.core.due(now);
            inputs.extend(due.inputs);
            for shard in due.ask_reply_end {
                self.ask_reply_end(shard);
            }
        }
        if inputs.is_empty() {
            self.store_marks(false).await;
        } else {
            self.carry(inputs).await;
        }
        self.parts.watchers.set_live(self.core.live(), self.core.waiting_topics());
    }

    async fn control(&mut self, control: Control) {
        match control {
            Control::Install(loaded) => {
                let (shard, offset) = (loaded.grant.shard, loaded.grant.reply_offset);
                tracing::info!(%shard, epoch = loaded.grant.epoch, sagas = loaded.live.len(), "Shard taken");
                let send = self.core.install(*loaded, self.parts.clock.now());
                self.parts.bus.send(send);
                self.parts.bus.assign_replies(shard, offset);
            }
            Control::Release { shard, done } => {
                let epoch = self.drop_shard(shard);
                // The asker may have given up meanwhile; the shard is dropped all the same.
                let _ = done.send(epoch);
            }
            Control::Retaken => self.resolve_doubt().await,
            Control::Progress { topic, progress } => {
                let send = self.core.note_progress(&topic, &progress, self.parts.clock.now());
                self.parts.bus.send(send);
            }
            Control::ReplyEnd { shard, end } => self.core.note_reply_end(shard, end),
        }
        self.parts.watchers.set_owned(self.core.owned());
    }

    pub(super) fn drop_shard(&mut self, shard: ShardId) -> Option<u64> {
        self.parts.bus.unassign_replies(shard);
        let epoch = self.core.drop_shard(shard);
        self.parts.inbox.retain_replies(|reply| reply.shard != shard);
        self.parts.watchers.set_owned(self.core.owned());
        epoch
    }

    /// Takes inputs through advance, commit and act. A batch never dies for one member: what the store refuses is
    /// split until the culprit is alone.
    async fn carry(&mut self, inputs: Vec<Input>) {
        let mut parts = vec![Part { inputs, with_marks: true, condemned: false }];
        let mut failures = 0;
        while let Some(mut part) = parts.pop() {
            self.admit(&mut part.inputs);
            let loaded = match self.load(&part.inputs).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.back_off(&mut part, &mut failures, &error).await;
                    parts.push(part);
                    if self.shutdown.is_cancelled() {
                        return self.give_up(parts);
                    }
                    continue;
                }
            };
            let mut draft = self.core.draft(&part.inputs, &loaded, self.parts.clock.now());
            let batch = self.core.encode(&mut draft, part.with_marks);
            if draft.is_empty() && draft.passed_on.is_empty() {
                self.only_marks(draft, &batch, &mut part);
                continue;
            }
            match self.parts.store.commit(&batch).await {
                Ok(Committed::All) => self.act(draft, &batch, part.inputs),
                Ok(Committed::FenceLost(lost)) => {
                    for shard in lost {
                        tracing::warn!(%shard, "Shard lost: another instance has taken it");
                        self.drop_shard(shard);
                    }
                    parts.push(part);
                }
                Ok(Committed::KeysTaken(taken)) => {
                    let losers: Vec<usize> = taken.iter().filter_map(|i| draft.keys.get(*i)).map(|(i, _)| *i).collect();
                    self.remove(&mut part, &losers, &Submitted::KeyTaken);
                    parts.push(part);
                }
                Ok(Committed::RequestsWithdrawn(ids)) => {
                    part.inputs.retain(|input| !matches!(input, Input::Request(request) if ids.contains(&request.id)));
                    parts.push(part);
                }
                Err(StoreError::OutcomeUnknown(why)) => {
                    tracing::warn!(error = %why, "A commit may or may not be stored; taking the shards again");
                    parts.push(part);
                    return self.begin_doubt(parts);
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    self.back_off(&mut part, &mut failures, &error).await;
                    parts.push(part);
                    if self.shutdown.is_cancelled() {
                        return self.give_up(parts);
                    }
                }
                Err(StoreError::Refused(why)) => self.split(part, &why, &mut parts),
            }
        }
    }

    /// Claims and mints the submissions; the withdrawn ones leave.
    fn admit(&self, inputs: &mut Vec<Input>) {
        inputs.retain_mut(|input| match input {
            Input::Submission(submission) => {
                if !submission.answer.claim() {
                    return false;
                }
                let minted = self.core.mint(submission);
                if !minted {
                    submission
                        .answer
                        .give(Submitted::Unavailable("this instance owns no shard at the moment".to_owned()));
                }
                minted
            }
            Input::Reply(_) | Input::Request(_) | Input::Internal { .. } => true,
        });
    }

    async fn load(&self, inputs: &[Input]) -> Result<Loaded, StoreError> {
        let missing = self.core.missing(inputs);
        if missing.is_empty() {
            return Ok(Loaded::new());
        }
        let records = self.parts.store.sagas(&missing).await?;
        Ok(records.into_iter().map(|record| (record.saga.id, record)).collect())
    }

    /// Nothing changed but how far replies were read; the store learns it by and by.
    fn only_marks(&mut self, draft: Draft, batch: &Batch, part: &mut Part) {
        for (index, why) in draft.failed {
            answer(&mut part.inputs[index], Submitted::Failed(why));
        }
        self.core.note_read(batch);
    }

    fn act(&mut self, mut draft: Draft, batch: &Batch, mut inputs: Vec<Input>) {
        let stored: Vec<(usize, SagaRecord)> =
            draft.members.iter().filter_map(|member| Some((member.submission?, member.record.clone()))).collect();
        let failed = std::mem::take(&mut draft.failed);
        self.parts.watchers.count(&draft);
        let answered = !draft.answers.is_empty();
        let Acts { send, changed } = self.core.settle(draft, batch, &inputs);
        self.parts.bus.send(send);
        for (index, record) in stored {
            answer(&mut inputs[index], Submitted::Stored(Box::new(record)));
        }
        for (index, why) in failed {
            answer(&mut inputs[index], Submitted::Failed(why));
        }
        self.parts.watchers.changed(&changed, answered);
    }

    fn remove(&self, part: &mut Part, indices: &[usize], because: &Submitted) {
        let mut index = 0;
        part.inputs.retain_mut(|input| {
            let gone = indices.contains(&index);
            index += 1;
            if gone {
                answer(input, because.clone());
            }
            !gone
        });
    }

    async fn back_off(&self, part: &mut Part, failures: &mut u32, error: &StoreError) {
        for input in &part.inputs {
            if let Input::Submission(submission) = input {
                submission.answer.unclaim();
            }
        }
        tracing::warn!(%error, "The database is away; trying again");
        let wait = Duration::from_millis(50 << (*failures).min(4));
        *failures += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// The end has come while the database is away: nothing of these was stored.
    fn give_up(&mut self, parts: Vec<Part>) {
        for mut input in parts.into_iter().flat_map(|part| part.inputs) {
            answer(&mut input, Submitted::Unavailable("the instance is shutting down".to_owned()));
        }
    }

    /// Halves a part that the store refuses, by sagas. A saga that is refused alone is parked, its replies become
    /// dead letters, its requests are refused, and a submission fails.
    fn split(&mut self, part: Part, why: &str, parts: &mut Vec<Part>) {
        let mut groups: Vec<Option<SagaId>> = Vec::new();
        for input in &part.inputs {
            let saga = input.saga();
            if saga.is_none() || !groups.contains(&saga) {
                groups.push(saga);
            }
        }
        if groups.len() > 1 {
            let first: std::collections::HashSet<_> = groups[..groups.len() / 2].iter().copied().flatten().collect();
            let (head, tail) =
                part.inputs.into_iter().partition(|input| input.saga().is_some_and(|saga| first.contains(&saga)));
            parts.push(Part { inputs: tail, with_marks: part.with_marks, condemned: part.condemned });
            parts.push(Part { inputs: head, with_marks: false, condemned: part.condemned });
            return;
        }
        tracing::error!(saga.id = ?groups.first().copied().flatten(), error = why, "The database refuses a transition");
        if part.condemned {
            return tracing::error!("Not even the failure could be stored; it is left out");
        }
        parts.push(Part { inputs: super::poison::condemn(part.inputs, why), condemned: true, ..part });
    }

    pub(super) async fn store_marks(&mut self, at_once: bool) {
        let now = self.parts.clock.now();
        if self.doubt.is_some() || !self.core.marks_moved() || (!at_once && now.since(self.core.stored_at) < MARKS_IDLE)
        {
            return;
        }
        let mut draft = Draft::new(now);
        let batch = self.core.encode(&mut draft, true);
        match self.parts.store.commit(&batch).await {
            Ok(Committed::All) => self.core.marks_stored(&batch, now),
            Ok(Committed::FenceLost(lost)) => {
                for shard in lost {
                    tracing::warn!(%shard, "Shard lost: another instance has taken it");
                    self.drop_shard(shard);
                }
            }
            // Marks may always be behind; they are stored at the next turn.
            Ok(Committed::KeysTaken(_) | Committed::RequestsWithdrawn(_)) => {}
            Err(error) => {
                self.core.stored_at = now;
                tracing::warn!(%error, "Marks could not be stored; trying again");
            }
        }
    }

    fn ask_reply_end(&self, shard: ShardId) {
        let (bus, inbox) = (self.parts.bus.clone(), self.parts.inbox.clone());
        tokio::spawn(async move {
            let end = bus.reply_end(shard).await;
            if end.is_err() {
                tokio::time::sleep(IDLE).await;
            }
            inbox.control(Control::ReplyEnd { shard, end });
        });
    }

    fn begin_doubt(&mut self, parts: Vec<Part>) {
        let inputs = parts.into_iter().flat_map(|part| part.inputs);
        let owned = self.core.owned();
        self.doubt.begin(inputs, &owned);
        for shard in owned {
            self.drop_shard(shard);
        }
    }

    async fn resolve_doubt(&mut self) {
        let resubmit = self.doubt.resolve(self.parts.store.as_ref()).await;
        self.parts.inbox.resubmit(resubmit);
    }
}

pub(super) fn answer(input: &mut Input, submitted: Submitted) {
    if let Input::Submission(submission) = input {
        submission.answer.give(submitted);
    }
}
