//! What each step does.

use super::database::{Batch, Came, Database};
use super::instance::{Holds, Instance};
use super::rules::Sagas;
use super::twin::Twin;
use super::world::{Action, State, World};

impl World {
    /// Everything after `action`; `None` if it is not possible now.
    pub fn after(&self, mut state: State, action: Action) -> Option<Result<State, String>> {
        let State { database, instances, orphans, bus, left } = &mut state;
        let done = match action {
            // `TAKE_SHARD` in `store/postgres/statements.rs`: the epoch grows.
            Action::Takes(i) => {
                let instance = &mut instances[usize::from(i)];
                let free = instance.holds == Holds::Nothing && left.takeovers > 0;
                free.then(|| {
                    left.takeovers -= 1;
                    database.epoch += 1;
                    let Database { epoch, published, reply_offset, rows } = *database;
                    instance.holds = Holds::Granted { epoch, last_seq: rows.last(), published, reply_offset };
                    Ok(())
                })
            }
            Action::Loads(i) => {
                let instance = &mut instances[usize::from(i)];
                let ready = matches!(instance.holds, Holds::Granted { .. })
                    && !instance.events.is_full()
                    && !instance.commands.is_full();
                ready.then(|| instance.install(database, &self.sagas, self.twin))
            }
            Action::GivesUp(i) => {
                let instance = &mut instances[usize::from(i)];
                matches!(instance.holds, Holds::Loaded(_)).then_some(())?;
                instance.drop_shard();
                (left.takeovers > 0).then_some(Ok(()))
            }
            Action::Crashes(i) => {
                left.crashes = left.crashes.checked_sub(1)?;
                let instance = &mut instances[usize::from(i)];
                orphan(orphans, instance);
                *instance = Instance::NEW;
                Some(Ok(()))
            }
            Action::Begins { instance, adds, replies } => {
                let instance = &mut instances[usize::from(instance)];
                let room = !instance.events.is_full() && !instance.commands.is_full();
                room.then(|| {
                    instance.begin(adds, replies, &self.sagas, self.twin);
                    Ok(())
                })
            }
            Action::Passes(i) => instances[usize::from(i)].memory_mut().map(|memory| {
                memory.reply_next += 1;
                Ok(())
            }),
            Action::Arrives(i) => match &mut instances[usize::from(i)].holds {
                Holds::Commits { batch, came: came @ None, .. } => {
                    Some(database.commit(batch, self.twin).map(|made| *came = Some(made)))
                }
                Holds::Commits { .. } | Holds::Nothing | Holds::Granted { .. } | Holds::Loaded(_) => None,
            },
            Action::OrphanArrives(place) => {
                let batch = orphans[place].take()?;
                orphans.sort_unstable_by_key(Option::is_none);
                Some(database.commit(&batch, self.twin).map(drop))
            }
            Action::Hears(i) => {
                let instance = &mut instances[usize::from(i)];
                match instance.holds {
                    Holds::Commits { came: Some(Came::Stored), .. } => Some(instance.settle(&self.sagas, self.twin)),
                    Holds::Commits { came: Some(Came::FenceLost), .. } => {
                        instance.drop_shard();
                        Some(Ok(()))
                    }
                    Holds::Commits { came: None, .. } | Holds::Nothing | Holds::Granted { .. } | Holds::Loaded(_) => {
                        None
                    }
                }
            }
            Action::Doubts(i) => {
                let instance = &mut instances[usize::from(i)];
                matches!(instance.holds, Holds::Commits { .. }).then_some(())?;
                left.doubts = left.doubts.checked_sub(1)?;
                orphan(orphans, instance);
                instance.drop_shard();
                Some(Ok(()))
            }
            Action::EventLeaves(i) => {
                let (seq, epoch) = instances[usize::from(i)].events.pop()?;
                instances[usize::from(i)].note_sent(seq, epoch);
                Some(bus.event(seq, database))
            }
            Action::CommandLeaves(i) => {
                let (seq, epoch) = instances[usize::from(i)].commands.pop()?;
                instances[usize::from(i)].note_sent(seq, epoch);
                Some(bus.command(seq, database))
            }
            Action::Acked { instance, seq } => {
                let instance = &mut instances[usize::from(instance)];
                let coming = &mut instance.acks[usize::from(seq) - 1];
                *coming = coming.checked_sub(1)?;
                instance.memory_mut().map(|memory| {
                    memory.watermark.acked(seq);
                    Ok(())
                })
            }
            Action::Answers { seq, again } => {
                let open = &mut bus.unanswered[usize::from(seq) - 1];
                (*open > 0).then_some(())?;
                if again {
                    left.repeats = left.repeats.checked_sub(1)?;
                } else {
                    *open -= 1;
                }
                let (saga, own) = database.rows.get(seq);
                bus.answer(saga, own).then_some(Ok(()))
            }
        };
        done.map(|done| {
            done.map(|()| {
                state.forget(&self.sagas, self.twin);
                state
            })
        })
    }

    /// What an instance that has the shard in memory may begin to commit.
    pub fn drafts(&self, state: &State, i: u8, mut each: impl FnMut(Action)) {
        let Holds::Loaded(memory) = state.instances[usize::from(i)].holds else { return };
        let asked = state
            .bus
            .reply(memory.reply_next)
            .map(|(saga, own)| (saga, memory.sagas[usize::from(saga)] == own && self.sagas.pending(own).is_some()));
        let answered = asked.filter(|(_, counts)| *counts).map(|(saga, _)| saga);
        let submitted = self.sagas.all().find(|saga| memory.sagas[usize::from(*saga)] == 0);
        let mut begin = |adds, replies| each(Action::Begins { instance: i, adds, replies });
        if let Some(saga) = answered {
            begin([Some(saga), None], 1);
            if submitted.is_some() {
                begin([Some(saga), submitted], 1);
            }
        }
        if submitted.is_some() {
            begin([submitted, None], 0);
        }
        let marks = (memory.watermark.published(self.twin), memory.reply_next);
        let ahead = self.twin == Some(Twin::OffsetAheadOfEffect) && answered.is_some();
        if marks != memory.stored || ahead {
            begin([None, None], u8::from(ahead));
        }
        if asked.is_some_and(|(_, counts)| !counts) {
            each(Action::Passes(i));
        }
    }
}

impl State {
    /// Forgets what makes no difference any more.
    fn forget(&mut self, sagas: &Sagas, twin: Option<Twin>) {
        let Self { database, instances, orphans, bus, .. } = self;
        // A transaction of an earlier epoch changes nothing when it arrives.
        if twin != Some(Twin::NoFence) {
            for orphan in orphans.iter_mut() {
                *orphan = orphan.filter(|batch| batch.epoch == database.epoch);
            }
            orphans.sort_unstable_by_key(Option::is_none);
        }
        for seq in 1..=database.rows.last() {
            // The answer to a question that was left would only be read and passed over, like one that comes twice.
            let (saga, own) = database.rows.get(seq);
            if database.rows.of(saga) != own || sagas.pending(own).is_none() {
                bus.unanswered[usize::from(seq) - 1] = 0;
            }
        }
        instances.iter_mut().for_each(Instance::forget);
    }
}

/// The transaction of a client that is gone, unless it has arrived.
fn orphan(orphans: &mut [Option<Batch>; 2], instance: &Instance) {
    if let Holds::Commits { batch, came: None, .. } = instance.holds
        && let Some(free) = orphans.iter_mut().find(|orphan| orphan.is_none())
    {
        *free = Some(batch);
    }
}
