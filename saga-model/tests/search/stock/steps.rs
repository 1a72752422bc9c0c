//! What each step does.

use super::ledger::{Judgement, Ledger};
use super::memory::{Content, GENERATIONS};
use super::program::{At, Next, Task, Worker};
use super::world::{Action, Order, State, World};

impl World {
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
                if let Some(Task { order, at: At::Book { .. } | At::PutBack { .. }, .. }) = workers[usize::from(i)].task
                {
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
        Some(state)
    }
}

impl State {
    /// Whether the numbers of generations have not run out.
    pub fn has_room(&self) -> bool {
        usize::from(self.sql.next_generation) < GENERATIONS
    }

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
            self.redis.file = Content::default();
        }
    }
}
