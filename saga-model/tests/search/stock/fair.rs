//! From every state on: if from now on nothing breaks and every command comes until it is answered, every order gets
//! its answer; and then whoever asks for one more unit gets it exactly if there is one. (Redis may believe in a unit
//! too many; SQL then says otherwise, and Redis is loaded anew. It may not have lost one.)

use super::ledger::Ledger;
use super::promises;
use super::tell;
use super::world::{Action, Left, Order, State, World};
use crate::search::explore::fingerprint;
use crate::search::model::Wrong;
use crate::search::seen::Seen;

/// More steps than such a small world needs.
const PATIENCE: usize = 300;

/// The states that are known to end.
#[derive(Default)]
pub struct Fair {
    known: Seen,
}

impl Fair {
    /// # Errors
    /// Where it gets stuck, and how it came there.
    pub fn ends(&self, world: &World, state: &State) -> Result<(), Wrong> {
        let mut state = State { left: Left { flushes: 0, restarts: 0, pauses: u8::MAX, crashes: 0 }, ..*state };
        let mut way = Vec::new();
        for _ in 0..PATIENCE {
            state.left.pauses = u8::MAX; // leases of the dead do end
            // If this way did not end, the search would end here: so what is on it may be noted at once.
            if !self.known.insert(fingerprint(&state)) {
                return Ok(());
            }
            let Some((action, next)) = next(world, &state) else { break };
            way.push(tell::line(world, &state, action));
            state = next;
            if let Err(what) = promises::kept(world, &state) {
                return Err(Wrong { what, way });
            }
        }
        let open = |order: u8| matches!(state.orders[usize::from(order)], Order::Asked | Order::Turned { .. });
        match world.numbers().find(|order| open(*order)) {
            Some(order) => Err(Wrong { what: format!("all goes well, and order {order} is never answered"), way }),
            None if state.stranded => Ok(()),
            None => one_more(world, state, way),
        }
    }
}

/// All is answered; an order comes that nobody has heard of.
fn one_more(world: &World, mut state: State, mut way: Vec<String>) -> Result<(), Wrong> {
    let order = world.last();
    let expected = if state.sql.available() > 0 { Order::Promised } else { Order::Refused };
    let mut action = Action::ActArrives { order, worker: 0 };
    for _ in 0..PATIENCE {
        let Some(after) = world.after(state, action) else { break };
        way.push(tell::line(world, &state, action));
        state = after;
        action = Action::Step(0);
    }
    let became = state.orders[usize::from(order)];
    if became == expected {
        return Ok(());
    }
    let available = state.sql.available();
    Err(Wrong {
        what: format!("one more unit is asked for, {available} are available, and the order is {became:?}"),
        way,
    })
}

/// What happens next if all goes well: whoever is at something goes on; then the commands that are not answered come
/// again.
fn next(world: &World, state: &State) -> Option<(Action, State)> {
    let commands = world.numbers().filter_map(|order| match state.orders[usize::from(order)] {
        Order::Asked => Some(Action::ActArrives { order, worker: 0 }),
        Order::Turned { .. } => Some(Action::UndoArrives { order, worker: 0 }),
        Order::Refused | Order::Promised | Order::Confirmed | Order::Undone { .. } => None,
    });
    let leases = world.numbers().filter(|order| match state.ledgers[usize::from(*order)] {
        Ledger::Running { by, .. } | Ledger::Undoing { by, .. } => state.workers[usize::from(by)].task.is_none(),
        Ledger::None | Ledger::Succeeded | Ledger::Rejected | Ledger::Tombstone => false,
    });
    let leases: Vec<Action> = leases.map(|order| Action::LeaseEnds { order }).collect();
    let steps = [Action::Step(0), Action::Step(1)];
    let all = steps.into_iter().chain(commands).chain(leases);
    all.filter_map(|action| Some((action, world.after(*state, action)?))).next()
}
