//! What must hold in every state.

use super::world::{Order, State, World};

/// The numbers add up, and what was said to each order is true.
///
/// # Errors
/// What is not.
pub fn kept(world: &World, state: &State) -> Result<(), String> {
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
