//! Two instances, a database, a broker, and a worker that answers what it is asked.

use std::fmt;

use super::bus::Bus;
use super::database::{Batch, Database, ROWS, Saga, Seq};
use super::fair::Fair;
use super::instance::Instance;
use super::promises;
use super::rules::Sagas;
use super::tell;
use super::twin::Twin;
use crate::search::model::{Model, Steps, Wrong};

/// How large the world is, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// 1 or 2.
    pub sagas: u8,
    /// Of each saga; `sagas * rows` is at most 8.
    pub rows: u8,
    /// How often a shard may be taken.
    pub takeovers: u8,
    /// Instances that die, and connections that break during a commit, together at most 2.
    pub crashes: u8,
    pub doubts: u8,
    /// Commands that a worker answers twice.
    pub repeats: u8,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sagas, rows, takeovers, crashes, doubts, repeats } = self;
        write!(f, "sagas: {sagas}, rows: {rows}, takeovers: {takeovers}, crashes: {crashes}, ")?;
        write!(f, "doubts: {doubts}, repeats: {repeats}")
    }
}

pub struct World {
    pub size: Size,
    pub sagas: Sagas,
    pub twin: Option<Twin>,
    fair: Fair,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub database: Database,
    pub instances: [Instance; 2],
    /// Transactions whose client is gone: they may still arrive.
    pub orphans: [Option<Batch>; 2],
    pub bus: Bus,
    pub left: Left,
}

/// How much may still go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Left {
    pub takeovers: u8,
    pub crashes: u8,
    pub doubts: u8,
    pub repeats: u8,
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    Takes(u8),
    Loads(u8),
    GivesUp(u8),
    Crashes(u8),
    /// Begins to commit: sagas that get a row, replies that are read.
    Begins {
        instance: u8,
        adds: [Option<Saga>; 2],
        replies: u8,
    },
    /// A reply is read that its saga does not ask for.
    Passes(u8),
    Arrives(u8),
    OrphanArrives(usize),
    Hears(u8),
    Doubts(u8),
    EventLeaves(u8),
    CommandLeaves(u8),
    Acked {
        instance: u8,
        seq: Seq,
    },
    Answers {
        seq: Seq,
        again: bool,
    },
}

impl World {
    /// # Errors
    /// If the world is too large for what it is kept in.
    pub fn new(size: Size, twin: Option<Twin>) -> Result<Self, String> {
        let fits = (1..=2).contains(&size.sagas)
            && size.rows >= 1
            && usize::from(size.sagas) * usize::from(size.rows) <= ROWS
            && size.crashes.max(size.doubts) <= 2
            && size.crashes + size.doubts <= 2
            && size.takeovers <= 8;
        let sagas = Sagas { count: size.sagas, rows: size.rows };
        fits.then(|| Self { size, sagas, twin, fair: Fair::default() })
            .ok_or_else(|| format!("there is no room for {size:?}"))
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let Size { takeovers, crashes, doubts, repeats, .. } = self.size;
        State {
            database: Database::NEW,
            instances: [Instance::NEW; 2],
            orphans: [None; 2],
            bus: Bus::default(),
            left: Left { takeovers, crashes, doubts, repeats },
        }
    }

    fn next(&self, state: &State, steps: &mut Steps<Self>) {
        let mut actions = vec![Action::OrphanArrives(0), Action::OrphanArrives(1)];
        for i in [0, 1] {
            actions.extend([Action::Takes(i), Action::Loads(i), Action::Arrives(i), Action::Hears(i)]);
            actions.extend([Action::EventLeaves(i), Action::CommandLeaves(i)]);
            actions.extend([Action::GivesUp(i), Action::Doubts(i), Action::Crashes(i)]);
            self.drafts(state, i, |action| actions.push(action));
            actions.extend((1..=ROWS as Seq).map(|seq| Action::Acked { instance: i, seq }));
        }
        for again in [false, true] {
            actions.extend((1..=ROWS as Seq).map(|seq| Action::Answers { seq, again }));
        }
        for action in actions {
            match self.after(*state, action) {
                Some(Ok(next)) => steps.go(action, next),
                Some(Err(what)) => steps.broken(action, what),
                None => {}
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), Wrong> {
        promises::nothing_is_lost(self, state)?;
        self.fair.ends(self, state)
    }

    fn tell(&self, from: &State, action: Action) -> String {
        tell::line(self, from, action)
    }
}
