//! A worker that can be stopped around its effect: the real participant, with a gate before it and one after it.

use std::sync::Arc;

use async_trait::async_trait;
use saga_model::state::Failure;
use saga_model::wire::Unreadable;
use saga_model::wire::command::Command;
use tokio::sync::watch;
use workers::participant::{Acted, Job, Participant, Settled, Undone};
use workers::trouble::Trouble;

use super::bugs::Bug;
use super::fault::Fault;
use super::ground::Ground;

/// Where the work of one life of a worker stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    Nowhere,
    BeforeEffect,
    AfterEffect,
    /// It is dead: nothing of it happens any more.
    Everywhere,
}

/// The gates of one life of a worker.
#[derive(Debug)]
pub struct Gates(watch::Sender<Halt>);

impl Gates {
    pub fn new() -> Self {
        Self(watch::Sender::new(Halt::Nowhere))
    }

    pub fn set(&self, halt: Halt) {
        self.0.send_replace(halt);
    }

    pub fn get(&self) -> Halt {
        *self.0.borrow()
    }

    async fn pass(&self, gate: Halt) -> Result<(), Trouble> {
        if self.get() == Halt::Nowhere {
            return Ok(());
        }
        let mut seen = self.0.subscribe();
        let halt = seen.wait_for(|halt| *halt != gate).await.map_or(Halt::Everywhere, |halt| *halt);
        if halt == Halt::Everywhere { Err(Trouble::Poison("the worker is dead".to_owned())) } else { Ok(()) }
    }
}

/// A participant with gates and moods.
pub struct Gated<P> {
    pub inner: P,
    pub gates: Arc<Gates>,
    pub ground: Arc<Ground>,
}

/// What a worker says in place of what is so.
enum Mood {
    Honest,
    Retry,
    Unknown { done: bool },
    Refuse,
}

impl<P> Gated<P> {
    fn mood(&self) -> Mood {
        let moods = [Fault::SaysRetry, Fault::SaysUnknown, Fault::SaysRejected];
        match moods.into_iter().find(|mood| self.ground.hit(*mood)) {
            Some(Fault::SaysRetry) => Mood::Retry,
            Some(Fault::SaysUnknown) => Mood::Unknown { done: self.ground.chance().one_in(2) },
            Some(Fault::SaysRejected) => Mood::Refuse,
            Some(_) | None => Mood::Honest,
        }
    }

    /// The life may end, or stand still, before its effect or after it.
    fn fate(&self) {
        if self.gates.get() != Halt::Nowhere {
            return;
        }
        let fates = [Fault::WorkerDiesBefore, Fault::WorkerDiesAfter, Fault::WorkerFreezes];
        match fates.into_iter().find(|fate| self.ground.hit(*fate)) {
            Some(Fault::WorkerDiesBefore) => self.gates.set(Halt::Everywhere),
            Some(Fault::WorkerDiesAfter) => self.gates.set(Halt::AfterEffect),
            Some(Fault::WorkerFreezes) => self.gates.set(Halt::BeforeEffect),
            Some(_) | None => {}
        }
    }
}

fn says(code: &str) -> Failure {
    Failure::new(code, "so the worker says")
}

#[async_trait]
impl<P: Participant> Participant for Gated<P> {
    type Task = P::Task;

    fn read(&self, command: &Command) -> Result<P::Task, Unreadable> {
        self.inner.read(command)
    }

    async fn act(&self, jobs: &[Job<P::Task>]) -> Result<Vec<Acted>, Trouble> {
        self.fate();
        self.gates.pass(Halt::BeforeEffect).await?;
        let acted = match self.mood() {
            Mood::Honest => self.inner.act(jobs).await?,
            Mood::Retry => jobs.iter().map(|_| Acted::Retry(says("BUSY"))).collect(),
            Mood::Refuse => jobs.iter().map(|_| Acted::Refused(says("NOT_TODAY"))).collect(),
            Mood::Unknown { done } => {
                if done {
                    self.inner.act(jobs).await?;
                }
                jobs.iter().map(|_| Acted::Unknown(says("WHO_KNOWS"))).collect()
            }
        };
        for (job, acted) in jobs.iter().zip(&acted) {
            self.ground.tell(|| format!("worker acts {}: {acted:?}", job.key));
        }
        self.gates.pass(Halt::AfterEffect).await?;
        Ok(acted)
    }

    async fn settle(&self, jobs: &[Job<P::Task>]) -> Result<Vec<Settled>, Trouble> {
        if self.ground.has(Bug::SettleKeepsNobodyOut) {
            return Ok(jobs.iter().map(|_| Settled::Absent).collect());
        }
        self.inner.settle(jobs).await
    }

    async fn undo(&self, jobs: &[Job<P::Task>]) -> Result<Vec<Undone>, Trouble> {
        self.fate();
        self.gates.pass(Halt::BeforeEffect).await?;
        let undone = match self.mood() {
            Mood::Honest => self.inner.undo(jobs).await?,
            Mood::Retry => jobs.iter().map(|_| Undone::Retry(says("BUSY"))).collect(),
            Mood::Refuse => jobs.iter().map(|_| Undone::Refused(says("NOT_TODAY"))).collect(),
            Mood::Unknown { done } => {
                if done {
                    self.inner.undo(jobs).await?;
                }
                jobs.iter().map(|_| Undone::Unknown(says("WHO_KNOWS"))).collect()
            }
        };
        for (job, undone) in jobs.iter().zip(&undone) {
            self.ground.tell(|| format!("worker undoes {}: {undone:?}", job.key));
        }
        self.gates.pass(Halt::AfterEffect).await?;
        Ok(undone)
    }

    fn keeps_silent(&self, command: &Command, task: &P::Task) -> bool {
        self.inner.keeps_silent(command, task)
    }
}
