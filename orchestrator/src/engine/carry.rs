//! One turn's inputs through advance, commit and act; and what happens when the commit does not.

use std::time::Duration;

use saga_model::SagaId;

use super::commit_loop::CommitLoop;
use super::draft::Draft;
use super::drafting::Loaded;
use super::input::{Input, Submitted};
use super::settle::ReplyMarks;
use super::{report, trace};
use crate::store::rows::{Batch, SagaRecord};
use crate::store::{Committed, StoreError};

static NOTHING_READ: ReplyMarks = ReplyMarks::new();

/// Inputs that go into one commit.
struct Part {
    inputs: Vec<Input>,
    /// They were refused alone before and stand here as failures of the engine.
    condemned: bool,
}

impl CommitLoop {
    /// Takes inputs through advance, commit and act. A batch never dies for one member: what the store refuses is
    /// split until the culprit is alone.
    pub(super) async fn carry(&mut self, inputs: Vec<Input>) {
        let read = read(&inputs);
        let mut parts = vec![Part { inputs, condemned: false }];
        let mut failures = 0;
        while let Some(mut part) = parts.pop() {
            self.admit(&mut part.inputs);
            let loaded = match self.load(&part.inputs).await {
                Ok(loaded) => loaded,
                // A row that cannot be read is one saga's trouble, and no reason to keep the others waiting.
                Err(StoreError::Refused(why)) => {
                    self.split(part, &why, &mut parts);
                    continue;
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
                    self.back_off(&mut part, &mut failures, &error).await;
                    parts.push(part);
                    if self.shutdown.is_cancelled() {
                        return self.give_up(parts);
                    }
                    continue;
                }
            };
            let mut draft = self.core.draft(&part.inputs, &loaded, self.parts.clock.now());
            // The marks of the whole turn go with its last part: before that, something read may not be stored.
            let batch = self.core.encode(&mut draft, if parts.is_empty() { &read } else { &NOTHING_READ });
            if draft.is_empty() {
                self.nothing_to_store(draft, &mut part);
                continue;
            }
            match self.store(&batch).await {
                Ok(Committed::All) => self.act(draft, &batch, part.inputs),
                Ok(Committed::FenceLost(lost)) => {
                    self.drop_lost(lost);
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
                    return self.begin_doubt(parts.into_iter().flat_map(|part| part.inputs));
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    // One of the rows to be flagged may be locked.
                    self.core.hold_flags(&batch, draft.now);
                    self.back_off(&mut part, &mut failures, &error).await;
                    parts.push(part);
                    if self.shutdown.is_cancelled() {
                        return self.give_up(parts);
                    }
                }
                Err(StoreError::Refused(why)) if self.core.hold_flags(&batch, draft.now) => {
                    tracing::warn!(error = %why, "A batch is refused; it is tried without flagging what is lingering");
                    parts.push(part);
                }
                Err(StoreError::Refused(why)) => self.split(part, &why, &mut parts),
            }
        }
        self.core.note_read(&read, self.parts.clock.now());
    }

    /// Claims and mints the submissions; the withdrawn ones leave.
    fn admit(&self, inputs: &mut Vec<Input>) {
        let now = self.parts.clock.now();
        inputs.retain_mut(|input| match input {
            Input::Submission(submission) => {
                if !submission.answer.claim() {
                    return false;
                }
                let minted = self.core.mint(submission, now);
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

    async fn load(&mut self, inputs: &[Input]) -> Result<Loaded, StoreError> {
        let missing = self.core.missing(inputs);
        if missing.is_empty() {
            return Ok(Loaded::new());
        }
        self.leave();
        let records = self.parts.store.sagas(&missing).await?;
        Ok(records.into_iter().map(|record| (record.saga.id, record)).collect())
    }

    /// Stores a batch. While the database works, the messages of the one before leave.
    async fn store(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let departure = self.departure.take();
        let (bus, acks) = (self.parts.bus.as_ref(), &*self.parts.acks);
        let leave = async { departure.into_iter().for_each(|departure| departure.leave(bus, acks)) };
        tokio::join!(self.parts.store.commit(batch), leave).0
    }

    /// The messages of the last batch leave now, if they have not left yet.
    pub(super) fn leave(&mut self) {
        if let Some(departure) = self.departure.take() {
            departure.leave(self.parts.bus.as_ref(), &self.parts.acks);
        }
    }

    /// Nothing changed but how far replies were read.
    fn nothing_to_store(&mut self, draft: Draft, part: &mut Part) {
        self.leave();
        self.parts.meters.read(&draft, &part.inputs);
        for (index, why) in draft.failed {
            answer(&mut part.inputs[index], Submitted::Failed(why));
        }
    }

    fn act(&mut self, mut draft: Draft, batch: &Batch, mut inputs: Vec<Input>) {
        let stored: Vec<(usize, SagaRecord)> =
            draft.members.iter().filter_map(|member| Some((member.submission?, member.record.clone()))).collect();
        let failed = std::mem::take(&mut draft.failed);
        self.parts.meters.stored(&self.core, &draft, &inputs);
        report::stored(&draft);
        if self.parts.tracer.is_on() {
            draft.ended.iter().for_each(|attempt| trace::make_span(&self.parts.tracer, attempt));
        }
        self.parts.watchers.stored(&draft);
        self.departure = Some(self.core.settle(draft, batch));
        for (index, record) in stored {
            answer(&mut inputs[index], Submitted::Stored(Box::new(record)));
        }
        for (index, why) in failed {
            answer(&mut inputs[index], Submitted::Failed(why));
        }
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

    /// Halves a part that the store refuses, by sagas. A saga that is refused alone is stuck, its replies become
    /// dead letters, its requests are refused, and a submission fails.
    fn split(&mut self, part: Part, why: &str, parts: &mut Vec<Part>) {
        // What concerns no saga is a group of its own.
        let mut groups: Vec<Option<SagaId>> = Vec::new();
        let grouped: Vec<(usize, Input)> = part
            .inputs
            .into_iter()
            .map(|input| {
                let saga = input.saga();
                let known = saga.and_then(|_| groups.iter().position(|group| *group == saga));
                let group = known.unwrap_or_else(|| {
                    groups.push(saga);
                    groups.len() - 1
                });
                (group, input)
            })
            .collect();
        let (head, tail): (Vec<_>, Vec<_>) = grouped.into_iter().partition(|(group, _)| *group < groups.len() / 2);
        let inputs = |half: Vec<(usize, Input)>| half.into_iter().map(|(_, input)| input).collect::<Vec<_>>();
        let (head, tail) = (inputs(head), inputs(tail));
        if !head.is_empty() {
            parts.push(Part { inputs: tail, condemned: part.condemned });
            parts.push(Part { inputs: head, condemned: part.condemned });
            return;
        }
        let saga = groups.first().copied().flatten().map(tracing::field::display);
        tracing::error!(saga.id = saga, error = why, "The database refuses a transition");
        if part.condemned {
            return tracing::error!(saga.id = saga, "Not even the failure could be stored; it is left out");
        }
        parts.push(Part { inputs: super::poison::condemn(tail, why), condemned: true });
    }

    /// Takes all shards again, and looks up what became of the submissions among `inputs`.
    pub(super) fn begin_doubt(&mut self, inputs: impl Iterator<Item = Input>) {
        let owned = self.core.owned();
        self.doubt.begin(inputs, &owned);
        for shard in owned {
            self.drop_shard(shard);
        }
    }
}

/// How far these inputs read the reply partitions. The last of them counts, not the highest: a topic that was made anew
/// is read from its beginning.
fn read(inputs: &[Input]) -> ReplyMarks {
    let mut read = ReplyMarks::new();
    for input in inputs {
        if let Input::Reply(reply) = input {
            read.insert(reply.shard, reply.incoming.offset + 1);
        }
    }
    read
}

fn answer(input: &mut Input, submitted: Submitted) {
    if let Input::Submission(submission) = input {
        submission.answer.give(submitted);
    }
}
