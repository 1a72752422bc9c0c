//! From messages to waves of commands.

use std::collections::HashMap;
use std::sync::Arc;

use saga_model::SagaId;
use saga_model::state::Kind;
use saga_model::wire::command::{self, Command};
use saga_model::wire::{DeadLetterCode, Unreadable};

use service::cloudevents;
use service::traceparent::TraceParent;

use crate::dead_letter::DeadLetter;
use crate::ledger::{Ending, Question, Record};
use crate::observe::{Observer, PlannedSpan};
use crate::participant::{EffectKey, Job, Participant};
use crate::transport::Delivery;

/// A command that can be handled.
pub(super) struct Item<T> {
    pub(super) delivery: Arc<Delivery>,
    pub(super) command: Arc<Command>,
    pub(super) key: EffectKey,
    pub(super) task: Arc<T>,
    /// Whether its answer is kept back.
    pub(super) silent: bool,
    /// Where it was sent from, in its trace.
    pub(super) sent_from: Option<TraceParent>,
    pub(super) span: Option<PlannedSpan>,
    /// The span of the action that it undoes.
    pub(super) undoes: Option<TraceParent>,
}

impl<T> Clone for Item<T> {
    fn clone(&self) -> Self {
        Self {
            delivery: Arc::clone(&self.delivery),
            command: Arc::clone(&self.command),
            key: self.key.clone(),
            task: Arc::clone(&self.task),
            silent: self.silent,
            sent_from: self.sent_from,
            span: self.span,
            undoes: self.undoes,
        }
    }
}

impl<T> Item<T> {
    pub(super) fn question(&self) -> Question {
        Question { key: self.key.clone(), kind: self.command.kind, attempt: self.command.attempt }
    }

    /// What the participant is asked to do about it, in a round of the step.
    pub(super) fn job(&self, round: u32, repeated: bool) -> Job<T> {
        let key = EffectKey { round, ..self.key.clone() };
        Job { key, attempt: self.command.attempt, repeated, task: Arc::clone(&self.task) }
    }

    pub(super) fn record(&self, ending: Ending) -> Record {
        let trace = match self.command.kind {
            Kind::Action => self.span.as_ref().map(|span| span.place().to_string()),
            Kind::Compensate => None,
        };
        Record { saga: self.key.saga, step: Arc::clone(&self.key.step), ending, trace }
    }
}

/// A batch, read.
pub(super) struct Batch<T> {
    /// One after the other; no two commands of a wave are about the same saga.
    pub(super) waves: Vec<Vec<Item<T>>>,
    pub(super) letters: Vec<DeadLetter>,
}

pub(super) fn read<P: Participant>(participant: &P, observer: &Observer, batch: Vec<Delivery>) -> Batch<P::Task> {
    let (mut waves, mut letters) = (Vec::new(), Vec::new());
    let mut seen: HashMap<SagaId, usize> = HashMap::with_capacity(batch.len());
    for delivery in batch {
        match read_one(participant, &delivery) {
            Err(why) => letters.push(DeadLetter::new(delivery, why)),
            Ok((command, task)) => {
                let before = seen.entry(command.saga_id).and_modify(|count| *count += 1).or_insert(0);
                if waves.len() <= *before {
                    waves.push(Vec::<Item<P::Task>>::new());
                }
                let key = EffectKey { saga: command.saga_id, step: command.step.as_str().into(), round: command.round };
                let silent = participant.keeps_silent(&command, &task);
                let sent_from = cloudevents::trace(&delivery.headers);
                waves[*before].push(Item {
                    delivery: Arc::new(delivery),
                    command: Arc::new(command),
                    key,
                    task: Arc::new(task),
                    silent,
                    sent_from,
                    span: observer.plan(sent_from),
                    undoes: None,
                });
            }
        }
    }
    // In order of saga, what goes to one page of an index goes there at once, and two workers with the same commands lock
    // their rows in one order.
    waves.iter_mut().for_each(|wave| wave.sort_unstable_by_key(|item| item.key.saga));
    Batch { waves, letters }
}

fn read_one<P: Participant>(participant: &P, delivery: &Delivery) -> Result<(Command, P::Task), Unreadable> {
    let command = command::parse(delivery.value.as_deref().unwrap_or_default())?;
    if command.step.contains('\0') {
        return Err(Unreadable::new(DeadLetterCode::WrongType, "step contains a NUL character"));
    }
    let task = participant.read(&command)?;
    Ok((command, task))
}
