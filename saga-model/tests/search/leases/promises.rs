//! What must hold in every state.

use super::database::Seq;
use super::world::{State, World};

/// What the marks and the present owner promise.
///
/// # Errors
/// What is lost.
pub fn nothing_is_lost(world: &World, state: &State) -> Result<(), String> {
    let State { database, instances, bus, .. } = state;
    let pending = |seq: Seq| {
        let (saga, own) = database.rows.get(seq);
        database.rows.of(saga) == own && world.sagas.pending(own).is_some()
    };
    for seq in 1..=database.published {
        let at = usize::from(seq) - 1;
        if !bus.events[at] || pending(seq) && !bus.commands[at] {
            return Err(format!("the marks say that row {seq} has left, and it has not"));
        }
    }
    let owners = instances.iter().filter(|instance| instance.epoch() == Some(database.epoch));
    for (instance, memory) in owners.filter_map(|owner| Some((owner, owner.memory()?))) {
        for seq in 1..=memory.last_seq {
            let at = usize::from(seq) - 1;
            if !bus.events[at] && !instance.events.has(seq) {
                return Err(format!("the event of row {seq} is neither published nor on its way"));
            }
            let (saga, own) = database.rows.get(seq);
            let asks = memory.sagas[usize::from(saga)] == own && world.sagas.pending(own).is_some();
            if asks && !bus.commands[at] && !instance.commands.has(seq) {
                return Err(format!("the pending command of row {seq} is neither published nor on its way"));
            }
        }
    }
    Ok(())
}
