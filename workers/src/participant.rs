//! What a participant of a saga has to say, and nothing of the duty around it.
//!
//! The duty (effects at most once, answers remembered, late actions refused, what a dead worker left behind settled)
//! is the [runtime](crate::runtime)'s, which asks the [ledger](crate::ledger) before it asks the participant. All
//! that is left to a participant is how to act, how to find out, and how to undo, each under one idempotency key.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::Failure;
use saga_model::wire::command::Command;
use saga_model::wire::{Unreadable, idempotency_key};

use crate::trouble::Trouble;

/// Under what an effect happens at most once. Printed as the idempotency key of the commands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EffectKey {
    pub saga: SagaId,
    pub step: Arc<str>,
    pub round: u32,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&idempotency_key(self.saga, &self.step, self.round))
    }
}

/// One thing to do for a command.
#[derive(Debug)]
pub struct Job<T> {
    pub key: EffectKey,
    /// The attempt of the command, from 1.
    pub attempt: u32,
    /// Whether this effect may have been begun before, or one of an earlier round: by an earlier attempt, by a worker
    /// that died, or by a call that failed half-way. False only for what is asked for the first time ever.
    pub repeated: bool,
    /// What the participant read from the command.
    pub task: Arc<T>,
}

impl<T> Clone for Job<T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), attempt: self.attempt, repeated: self.repeated, task: Arc::clone(&self.task) }
    }
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// The effect stands; the output is for the steps after it.
    Done(RawJson),
    /// Refused for good, and no effect stands.
    Refused(Failure),
    /// No effect of this attempt stands; it may be tried again.
    Retry(Failure),
    /// An effect may stand.
    Unknown(Failure),
}

/// What became of an action that was begun and whose outcome nobody recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Its effect stands.
    Stands(RawJson),
    /// It has no effect, and never will have one: whoever still tries to bring it about under its key is kept out.
    Absent,
}

/// How a compensation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// No effect of any round of this step stands. Whether there was one, also if an earlier attempt undid it.
    Done { was_there: bool },
    /// Cannot be undone by anybody but a person.
    Refused(Failure),
    /// Not undone; it may be tried again.
    Retry(Failure),
    /// May or may not be undone.
    Unknown(Failure),
}

/// A service that takes part in sagas.
///
/// Each of the three calls gets jobs of different sagas and answers each of them, in their order. It may be repeated
/// for the same job at any time, also at once with an earlier call for it that has not ended.
#[async_trait]
pub trait Participant: Send + Sync + 'static {
    /// What it needs of a command to do its job.
    type Task: Send + Sync + fmt::Debug + 'static;

    /// Reads what it needs. A compensation needs less than an action, which may have been refused for what it lacks.
    ///
    /// # Errors
    /// The code of the dead letter that the command is.
    fn read(&self, command: &Command) -> Result<Self::Task, Unreadable>;

    /// Does the actions, each at most once under its key: a repeated one finds what the first did. If it refuses a
    /// repeated one, it is asked to [`settle`](Self::settle) it before that is believed.
    ///
    /// # Errors
    /// If no job could be decided; all are then asked for again.
    async fn act(&self, jobs: &[Job<Self::Task>]) -> Result<Vec<Acted>, Trouble>;

    /// Finds out, for good, what became of the effects with these keys.
    ///
    /// # Errors
    /// As for [`act`](Self::act).
    async fn settle(&self, jobs: &[Job<Self::Task>]) -> Result<Vec<Settled>, Trouble>;

    /// Undoes whatever stands of a step, in all its rounds. Nothing of it is in progress.
    ///
    /// # Errors
    /// As for [`act`](Self::act).
    async fn undo(&self, jobs: &[Job<Self::Task>]) -> Result<Vec<Undone>, Trouble>;

    /// Whether the answer to this command is kept back. Only a simulation of a bad worker has a reason to.
    fn keeps_silent(&self, _command: &Command, _task: &Self::Task) -> bool {
        false
    }
}
