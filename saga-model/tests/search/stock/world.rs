//! Orders that want a unit each, two workers, SQL and a Redis that may lose its memory.

use std::fmt;

use super::fair::Fair;
use super::ledger::Ledger;
use super::memory::Memory;
use super::program::Worker;
use super::promises;
use super::records::{ORDERS, Records};
use super::tell;
use super::twin::Twin;
use crate::search::model::{Model, Steps, Wrong};

/// How large the world is, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// At most 3.
    pub orders: u8,
    pub on_hand: u8,
    /// How often Redis forgets everything while it runs.
    pub flushes: u8,
    /// How often it is started again, with what its file held.
    pub restarts: u8,
    /// How often a worker is taken for dead that is not: its lease ends, or its transaction is ended by the server.
    pub pauses: u8,
    pub crashes: u8,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, on_hand, flushes, restarts, pauses, crashes } = self;
        write!(f, "orders: {orders}, on hand: {on_hand}, flushes: {flushes}, restarts: {restarts}, ")?;
        write!(f, "pauses: {pauses}, crashes: {crashes}")
    }
}

pub struct World {
    pub size: Size,
    pub twin: Option<Twin>,
    fair: Fair,
}

/// What its saga thinks of a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    Asked,
    /// Not to be had: nothing is undone.
    Refused,
    Promised,
    /// Confirmed: to be sold.
    Confirmed,
    /// Turned back: to be undone.
    Turned {
        confirmed: bool,
    },
    Undone {
        confirmed: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub sql: Records,
    pub redis: Memory,
    pub workers: [Worker; 2],
    pub ledgers: [Ledger; ORDERS],
    pub orders: [Order; ORDERS],
    /// A worker that was taken for dead, and died when it had just been given a unit by Redis, may have left it there:
    /// its order is long settled, and nobody looks. It can be sold again once Redis is loaded anew.
    pub stranded: bool,
    pub left: Left,
}

/// How much may still go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Left {
    pub flushes: u8,
    pub restarts: u8,
    pub pauses: u8,
    pub crashes: u8,
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    ActArrives {
        order: u8,
        worker: u8,
    },
    UndoArrives {
        order: u8,
        worker: u8,
    },
    Step(u8),
    LeaseEnds {
        order: u8,
    },
    /// The server ends the transaction of a worker that does not go on.
    Aborted,
    Crashes(u8),
    Flush,
    Save,
    Restart,
    Confirm {
        order: u8,
    },
    TurnBack {
        order: u8,
    },
    Sell {
        order: u8,
    },
}

impl World {
    /// # Errors
    /// If the world is too large for what it is kept in.
    pub fn new(size: Size, twin: Option<Twin>) -> Result<Self, String> {
        let fits = (1..ORDERS).contains(&usize::from(size.orders)) && size.on_hand <= 9;
        fits.then(|| Self { size, twin, fair: Fair::default() }).ok_or_else(|| format!("there is no room for {size:?}"))
    }

    /// An order that nobody has heard of: it asks last of all.
    pub fn last(&self) -> u8 {
        self.size.orders
    }

    pub fn numbers(&self) -> std::ops::Range<u8> {
        0..self.size.orders
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let Size { flushes, restarts, pauses, crashes, on_hand, .. } = self.size;
        State {
            sql: Records::new(on_hand),
            redis: Memory::default(),
            workers: [Worker::NEW; 2],
            ledgers: [Ledger::None; ORDERS],
            orders: [Order::Asked; ORDERS],
            stranded: false,
            left: Left { flushes, restarts, pauses, crashes },
        }
    }

    fn next(&self, state: &State, steps: &mut Steps<Self>) {
        let mut actions = vec![Action::Aborted, Action::Flush, Action::Save, Action::Restart];
        for worker in [0, 1] {
            actions.extend([Action::Step(worker), Action::Crashes(worker)]);
            for order in self.numbers() {
                actions.extend([Action::ActArrives { order, worker }, Action::UndoArrives { order, worker }]);
            }
        }
        for order in self.numbers() {
            actions.extend([Action::LeaseEnds { order }, Action::Confirm { order }]);
            actions.extend([Action::TurnBack { order }, Action::Sell { order }]);
        }
        for action in actions {
            match self.after(*state, action) {
                Some(next) if next.has_room() => steps.go(action, next),
                Some(_) => steps.broken(action, "the model has no room for so many loads of Redis".to_owned()),
                None => {}
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), Wrong> {
        promises::kept(self, state)?;
        self.fair.ends(self, state)
    }

    fn tell(&self, from: &State, action: Action) -> String {
        tell::line(self, from, action)
    }
}
