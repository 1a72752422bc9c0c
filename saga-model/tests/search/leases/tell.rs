//! The steps of a trace, for people.

use super::database::{Came, Saga};
use super::instance::Holds;
use super::world::{Action, State, World};

/// The two instances by name.
const NAMES: [&str; 2] = ["A", "B"];

pub fn line(world: &World, from: &State, action: Action) -> String {
    let after = || world.after(*from, action).and_then(Result::ok);
    let name = |i: u8| NAMES[usize::from(i)];
    let batch = |i: u8| match from.instances[usize::from(i)].holds {
        Holds::Commits { batch, .. } => format!("(rows for {})", named(batch.adds)),
        Holds::Nothing | Holds::Granted { .. } | Holds::Loaded(_) => String::new(),
    };
    match action {
        Action::Takes(i) => {
            format!("{}: takes the shard, epoch {}", name(i), from.database.epoch + 1)
        }
        Action::Loads(i) => format!("{}: loads the shard and sends again what may not have left", name(i)),
        Action::GivesUp(i) => format!("{}: gives the shard up", name(i)),
        Action::Crashes(i) => format!("{}: is killed, with all that had not left", name(i)),
        Action::Begins { instance, adds, replies } => {
            let read = if replies > 0 { ", a reply read" } else { "" };
            format!("{}: begins to commit rows for {}{read}", name(instance), named(adds))
        }
        Action::Passes(i) => format!("{}: reads a reply that nobody asks for", name(i)),
        Action::Arrives(i) => {
            let came = after().map(|state| state.instances[usize::from(i)].holds);
            let stored = !matches!(came, Some(Holds::Commits { came: Some(Came::FenceLost), .. }));
            let what = if stored { "is stored" } else { "finds another epoch" };
            format!("database: the transaction of {} {} {what}", name(i), batch(i))
        }
        Action::OrphanArrives(_) => "database: a transaction arrives whose client is gone".to_owned(),
        Action::Hears(i) => format!("{}: hears what became of its commit, and acts", name(i)),
        Action::Doubts(i) => format!("{}: loses the connection while it commits {}", name(i), batch(i)),
        Action::EventLeaves(i) => format!("broker: has an event from {}", name(i)),
        Action::CommandLeaves(i) => format!("broker: has a command from {}", name(i)),
        Action::Acked { instance, seq } => format!("{}: a message of row {seq} is acknowledged", name(instance)),
        Action::Answers { seq, again } => {
            let again = if again { ", not for the last time" } else { "" };
            format!("worker: answers the command of row {seq}{again}")
        }
    }
}

fn named(adds: [Option<Saga>; 2]) -> String {
    let names: Vec<String> = adds.iter().flatten().map(|saga| format!("saga {saga}")).collect();
    if names.is_empty() { "nobody, marks alone".to_owned() } else { names.join(" and ") }
}
