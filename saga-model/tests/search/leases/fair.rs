//! From every state on: if from now on nothing breaks, and whoever may take the shard does, all sagas end, all their
//! events are published, and the marks say so.

use super::database::ROWS;
use super::instance::{Holds, Instance};
use super::tell;
use super::world::{Action, Left, State, World};
use crate::search::explore::fingerprint;
use crate::search::model::Wrong;
use crate::search::seen::Seen;

/// More steps than such a small world needs.
const PATIENCE: usize = 400;

/// The states that are known to end.
#[derive(Default)]
pub struct Fair {
    known: Seen,
}

impl Fair {
    /// # Errors
    /// Where it gets stuck, and how it came there.
    pub fn ends(&self, world: &World, state: &State) -> Result<(), Wrong> {
        let mut state = State { left: Left { takeovers: 2, crashes: 0, doubts: 0, repeats: 0 }, ..*state };
        let mut way = Vec::new();
        for _ in 0..PATIENCE {
            // If this way did not end, the search would end here: so what is on it may be noted at once.
            if !self.known.insert(fingerprint(&state)) {
                return Ok(());
            }
            let Some(action) = next(world, &state) else { break };
            way.push(tell::line(world, &state, action));
            match world.after(state, action) {
                Some(Ok(next)) => state = next,
                Some(Err(what)) => return Err(Wrong { what, way }),
                None => return Err(Wrong { what: format!("{action:?} should be possible"), way }),
            }
        }
        if has_ended(world, &state) {
            return Ok(());
        }
        let stored = world.sagas.all().map(|saga| format!("saga {saga} has {}", state.database.rows.of(saga)));
        let stored: Vec<String> = stored.collect();
        let what =
            format!("nothing more happens, and not all is done: of {} rows, {}", world.sagas.rows, stored.join(", "));
        Err(Wrong { what, way })
    }
}

fn has_ended(world: &World, state: &State) -> bool {
    let last = state.database.rows.last();
    world.sagas.have_ended(&state.database.rows)
        && state.bus.events[..usize::from(last)].iter().all(|published| *published)
        && state.database.published == last
}

/// What happens next if all goes well: what is under way ends, then the owner goes on.
fn next(world: &World, state: &State) -> Option<Action> {
    let is_owner = |instance: &Instance| instance.epoch() == Some(state.database.epoch);
    for i in [0, 1] {
        let instance = &state.instances[usize::from(i)];
        match instance.holds {
            Holds::Granted { .. } if instance.events.is_full() => return Some(Action::EventLeaves(i)),
            Holds::Granted { .. } if instance.commands.is_full() => return Some(Action::CommandLeaves(i)),
            Holds::Granted { .. } => return Some(Action::Loads(i)),
            Holds::Commits { came: None, .. } => return Some(Action::Arrives(i)),
            Holds::Commits { came: Some(_), .. } => return Some(Action::Hears(i)),
            Holds::Nothing | Holds::Loaded(_) => {}
        }
        if !instance.events.is_empty() {
            return Some(Action::EventLeaves(i));
        }
        if !instance.commands.is_empty() {
            return Some(Action::CommandLeaves(i));
        }
        if let Some(seq) = (1..).zip(instance.acks).find(|(_, coming)| *coming > 0).map(|(seq, _)| seq)
            && instance.epoch().is_some()
        {
            return Some(Action::Acked { instance: i, seq });
        }
    }
    if let Some(owner) = [0, 1].into_iter().find(|i| is_owner(&state.instances[usize::from(*i)])) {
        let mut first = None;
        world.drafts(state, owner, |action| {
            first.get_or_insert(action);
        });
        return first.or_else(|| answer(state));
    }
    // Nobody has it: somebody who holds nothing takes it, once the lease is over.
    let i = [0, 1].into_iter().find(|i| state.instances[usize::from(*i)].holds == Holds::Nothing);
    i.filter(|_| state.left.takeovers > 0).map(Action::Takes)
}

/// The worker answers what it has been asked.
fn answer(state: &State) -> Option<Action> {
    let seq = (1..=ROWS).find(|seq| state.bus.unanswered[seq - 1] > 0)?;
    Some(Action::Answers { seq: seq as u8, again: false })
}
