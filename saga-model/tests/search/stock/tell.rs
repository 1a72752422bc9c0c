//! The steps of a trace, for people.

use super::program::{At, Task};
use super::world::{Action, State, World};

/// The two workers by name.
const NAMES: [&str; 2] = ["A", "B"];

pub fn line(world: &World, from: &State, action: Action) -> String {
    let name = |i: u8| NAMES[usize::from(i)];
    match action {
        Action::ActArrives { order, worker } => format!("{}: is asked for a unit for order {order}", name(worker)),
        Action::UndoArrives { order, worker } => {
            let begins =
                world.after(*from, action).is_some_and(|next| next.workers[usize::from(worker)].task.is_some());
            let at_once = if begins { "" } else { ", and answers at once" };
            format!("{}: is asked to undo order {order}{at_once}", name(worker))
        }
        Action::Step(i) => {
            let task = from.workers[usize::from(i)].task;
            let next = world.after(*from, action).and_then(|next| next.workers[usize::from(i)].task);
            task.map_or_else(String::new, |task| format!("{}: {}", name(i), step(from, task, next)))
        }
        Action::LeaseEnds { order } => format!("whoever is at order {order} is taken for dead: the lease ends"),
        Action::Aborted => "the server ends a transaction that does not go on".to_owned(),
        Action::Crashes(i) => format!("{}: dies, and another takes its place", name(i)),
        Action::Flush => "Redis forgets everything".to_owned(),
        Action::Save => "Redis saves its memory".to_owned(),
        Action::Restart => "Redis is started again, with what was saved".to_owned(),
        Action::Confirm { order } => format!("order {order} is confirmed"),
        Action::TurnBack { order } => format!("order {order} turns back"),
        Action::Sell { order } => format!("the unit of order {order} is entered as sold"),
    }
}

/// A call, and what it led to.
fn step(from: &State, Task { order, at, .. }: Task, next: Option<Task>) -> String {
    let to = next.map(|next| next.at);
    let yes = |yes| if yes { "SUCCEEDED" } else { "REJECTED" };
    match at {
        At::Known => "looks whether the reservation is on record".to_owned(),
        At::Admit => {
            let what = match to {
                Some(At::Book { .. }) => "admits it",
                Some(At::Answer { .. } | At::Settle) => "has no unit for it",
                Some(At::Current { .. }) => "is not of the generation that it knows",
                _ => "does not know the product",
            };
            format!(
                "Redis {what} (order {order}, generation {})",
                from.workers.map(|w| w.generation).into_iter().max().unwrap_or(0)
            )
        }
        At::Default => "gives the product its default stock, unless SQL knows it".to_owned(),
        At::ReadUnits => "reads from SQL how many units there are".to_owned(),
        At::Learn { units, .. } => format!("tells Redis that there are {units} units"),
        At::Book { generation } => {
            let what = match to {
                Some(At::Answer { yes: true }) => "enters the reservation",
                Some(At::Current { distrusted: None }) => "does not enter it: that generation is over",
                Some(At::Current { distrusted: Some(_) }) => "does not enter it: there is not so much",
                _ => "has it on record already",
            };
            format!("SQL {what} (order {order}, generation {generation})")
        }
        At::PutBack { .. } | At::SettlePutBack { .. } | At::UndoSettlePutBack { .. } | At::ReleasePutBack { .. } => {
            format!("tells Redis what is free again (order {order})")
        }
        At::Settle | At::UndoSettle => format!("settles for good whether order {order} has a unit"),
        At::Answer { yes: said } => format!("records and answers {} to order {order}", yes(said)),
        At::Current { .. } => "asks SQL which generation counts".to_owned(),
        At::Holds { counts, .. } => format!("asks Redis whether it holds generation {counts}"),
        At::Lock { .. } => "takes the row of the generation".to_owned(),
        At::HoldsLocked { .. } => "looks again, and reads how many units there are".to_owned(),
        At::Fill { new, units: Some(units) } => format!("writes {units} units into Redis, for generation {new}"),
        At::Fill { new, units: None } => format!("writes generation {new} into Redis, without the product"),
        At::Flip { new } => match to {
            Some(At::Commit { .. }) => format!("declares that Redis holds generation {new}"),
            _ => format!("finds generation {new} gone from Redis again"),
        },
        At::Commit { new } => format!("commits generation {new}"),
        At::Release => format!("SQL releases order {order}"),
        At::UndoAnswer { .. } => format!("records and answers that order {order} is undone"),
    }
}
