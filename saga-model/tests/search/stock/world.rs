//! Orders that want a unit each, two workers, SQL and a Redis that may lose its memory.

use super::fair::Fair;
use super::ledger::{Judgement, Ledger};
use super::memory::{GENERATIONS, Memory};
use super::program::{At, Next, Task, Worker};
use super::records::{ORDERS, Records};
use super::tell;
use super::twin::Twin;
use crate::search::explore::{Model, Steps, Wrong};

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
    Turned { confirmed: bool },
    Undone { confirmed: bool },
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
    ActArrives { order: u8, worker: u8 },
    UndoArrives { order: u8, worker: u8 },
    Step(u8),
    LeaseEnds { order: u8 },
    /// The server ends the transaction of a worker that does not go on.
    Aborted,
    Crashes(u8),
    Flush,
    Save,
    Restart,
    Confirm { order: u8 },
    TurnBack { order: u8 },
    Sell { order: u8 },
}

impl World {
    /// # Errors
    /// If the world is too large for what it is kept in.
    pub fn new(size: Size, twin: Option<Twin>) -> Result<Self, String> {
        let fits = (1..ORDERS).contains(&usize::from(size.orders));
        fits.then(|| Self { size, twin, fair: Fair::default() }).ok_or_else(|| format!("there is no room for {size:?}"))
    }

    /// Everything after `action`; `None` if it is not possible now.
    pub fn after(&self, mut state: State, action: Action) -> Option<State> {
        let before = state.sql.generation;
        let State { sql, redis, workers, ledgers, orders, stranded, left } = &mut state;
        let spend = |budget: &mut u8| budget.checked_sub(1).map(|rest| *budget = rest);
        match action {
            Action::ActArrives { order, worker } => {
                let idle = workers[usize::from(worker)].task.is_none();
                let (ledger, judgement) = ledgers[usize::from(order)].act(worker);
                let Judgement::Act { repeated } = judgement else { return None };
                idle.then_some(())?;
                ledgers[usize::from(order)] = ledger;
                let at = if repeated { At::Known } else { At::Admit };
                workers[usize::from(worker)].task = Some(Task { order, repeated, at });
            }
            Action::UndoArrives { order, worker } => {
                matches!(orders[usize::from(order)], Order::Turned { .. }).then_some(())?;
                workers[usize::from(worker)].task.is_none().then_some(())?;
                let (ledger, judgement) = ledgers[usize::from(order)].undo(worker);
                (judgement != Judgement::Busy).then_some(())?;
                ledgers[usize::from(order)] = ledger;
                if let Judgement::Undo { settle } = judgement {
                    let at = if settle { At::UndoSettle } else { At::Release };
                    workers[usize::from(worker)].task = Some(Task { order, repeated: true, at });
                }
            }
            Action::Step(i) => {
                let worker = &mut workers[usize::from(i)];
                let next = worker.step(i, sql, redis, self.twin)?;
                let order = usize::from(worker.task?.order);
                match next {
                    Next::Go(at) => worker.task = worker.task.map(|task| Task { at, ..task }),
                    Next::Reserved { yes } => {
                        let how = if yes { Ledger::Succeeded } else { Ledger::Rejected };
                        ledgers[order] = ledgers[order].ended(i, how);
                        worker.task = None;
                    }
                    Next::Undone => {
                        ledgers[order] = ledgers[order].ended(i, Ledger::Tombstone);
                        worker.task = None;
                    }
                }
            }
            Action::LeaseEnds { order } => {
                let alive = match &mut ledgers[usize::from(order)] {
                    Ledger::Running { alive, .. } | Ledger::Undoing { alive, .. } => alive,
                    Ledger::None | Ledger::Succeeded | Ledger::Rejected | Ledger::Tombstone => return None,
                };
                alive.then_some(())?;
                *alive = false;
                spend(&mut left.pauses)?;
            }
            Action::Aborted => {
                sql.locked_by.take()?;
                spend(&mut left.pauses)?;
            }
            Action::Crashes(i) => {
                spend(&mut left.crashes)?;
                if let Some(Task { order, at: At::Book { .. } | At::PutBack { .. }, .. }) = workers[usize::from(i)].task {
                    let claimed = matches!(ledgers[usize::from(order)], Ledger::Running { by, .. } if by == i);
                    *stranded |= !claimed;
                }
                workers[usize::from(i)] = Worker::NEW;
                sql.locked_by = sql.locked_by.filter(|by| *by != i);
                for ledger in ledgers {
                    if let Ledger::Running { by, alive } | Ledger::Undoing { by, alive, .. } = ledger
                        && *by == i
                    {
                        *alive = false;
                    }
                }
            }
            Action::Flush => {
                spend(&mut left.flushes)?;
                redis.flush();
            }
            Action::Save => {
                (left.restarts > 0 && redis.file != redis.content).then_some(())?;
                redis.file = redis.content;
            }
            Action::Restart => {
                spend(&mut left.restarts)?;
                redis.restart();
            }
            Action::Confirm { order } => {
                let order = &mut orders[usize::from(order)];
                (*order == Order::Promised).then_some(())?;
                *order = Order::Confirmed;
            }
            Action::TurnBack { order } => {
                let order = &mut orders[usize::from(order)];
                *order = match *order {
                    Order::Asked | Order::Promised => Order::Turned { confirmed: false },
                    Order::Confirmed => Order::Turned { confirmed: true },
                    Order::Refused | Order::Turned { .. } | Order::Undone { .. } => return None,
                };
            }
            Action::Sell { order } => {
                let told = matches!(
                    orders[usize::from(order)],
                    Order::Confirmed | Order::Turned { confirmed: true } | Order::Undone { confirmed: true }
                );
                (told && sql.sell(order)).then_some(())?;
            }
        }
        *stranded &= sql.generation == before;
        state.hear();
        if left_generations(&state) {
            return None;
        }
        Some(state)
    }

    /// An order that nobody has heard of: it asks last of all.
    pub fn last(&self) -> u8 {
        self.size.orders
    }

    pub fn numbers(&self) -> std::ops::Range<u8> {
        0..self.size.orders
    }
}

/// More loads of Redis than there is room for: with so few losses that does not happen.
fn left_generations(state: &State) -> bool {
    usize::from(state.sql.next_generation) >= GENERATIONS
}

impl State {
    /// The sagas read the answers of the ledgers, and what nobody can ask for is forgotten. (An answer may come late:
    /// then its saga is still where it was, which is as if the ledger had been written later.)
    fn hear(&mut self) {
        for (order, ledger) in self.orders.iter_mut().zip(self.ledgers) {
            *order = match (*order, ledger) {
                (Order::Asked, Ledger::Succeeded) => Order::Promised,
                (Order::Asked, Ledger::Rejected) => Order::Refused,
                (Order::Turned { confirmed }, Ledger::Tombstone) => Order::Undone { confirmed },
                (other, _) => other,
            };
        }
        self.redis.forget(self.workers.map(|worker| worker.loading()));
        if self.left.restarts == 0 {
            self.redis.file = Default::default();
        }
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
            if let Some(next) = self.after(*state, action) {
                steps.go(action, next);
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), Wrong> {
        promises(self, state)?;
        self.fair.ends(self, state)
    }

    fn tell(&self, from: &State, action: Action) -> String {
        tell::line(self, from, action)
    }
}

/// What must hold in every state.
pub fn promises(world: &World, state: &State) -> Result<(), String> {
    let State { sql, orders, .. } = state;
    sql.add_up()?;
    for order in world.numbers() {
        let stands = sql.stands(order);
        match orders[usize::from(order)] {
            Order::Promised | Order::Confirmed if !stands => {
                return Err(format!("order {order} was promised a unit, and none is on record for it"));
            }
            Order::Refused if stands => {
                return Err(format!("order {order} was refused, and a unit is set apart for it"));
            }
            Order::Undone { .. } if stands => {
                return Err(format!("order {order} is undone, and a unit is set apart for it"));
            }
            Order::Asked
            | Order::Refused
            | Order::Promised
            | Order::Confirmed
            | Order::Turned { .. }
            | Order::Undone { .. } => {}
        }
    }
    Ok(())
}
