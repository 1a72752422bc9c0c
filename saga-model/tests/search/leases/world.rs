//! Two instances, a database, a broker, and a worker that answers what it is asked.

use super::database::{Batch, Came, Database, ROWS, Saga, Seq};
use super::fair::Fair;
use super::instance::{Holds, Instance};
use super::rules::Sagas;
use super::tell;
use super::twin::Twin;
use crate::search::explore::{Model, Steps, Wrong};

/// Replies that the partition has room for.
const REPLIES: usize = 10;

/// How large the world is, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// 1 or 2.
    pub sagas: u8,
    /// Of each saga; `sagas * rows` is at most 8.
    pub rows: u8,
    /// How often a shard may be taken.
    pub takeovers: u8,
    /// Instances that die, and connections that break during a commit, together at most 2.
    pub crashes: u8,
    pub doubts: u8,
    /// Commands that a worker answers twice.
    pub repeats: u8,
}

pub struct World {
    pub size: Size,
    pub sagas: Sagas,
    pub twin: Option<Twin>,
    fair: Fair,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub database: Database,
    pub instances: [Instance; 2],
    /// Transactions whose client is gone: they may still arrive.
    pub orphans: [Option<Batch>; 2],
    pub bus: Bus,
    pub left: Left,
}

/// What has been published.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bus {
    /// Whether the event and the command of each row have been published.
    pub events: [bool; ROWS],
    pub commands: [bool; ROWS],
    /// Commands that the worker has not answered.
    pub unanswered: [u8; ROWS],
    /// The reply partition: to which row of which saga.
    replies: [(Saga, u8); REPLIES],
    pub reply_end: u8,
}

/// How much may still go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Left {
    pub takeovers: u8,
    pub crashes: u8,
    pub doubts: u8,
    pub repeats: u8,
}

#[derive(Clone, Copy, Debug)]
pub enum Action {
    Takes(u8),
    Loads(u8),
    GivesUp(u8),
    Crashes(u8),
    /// Begins to commit: sagas that get a row, replies that are read.
    Begins { instance: u8, adds: [Option<Saga>; 2], replies: u8 },
    /// A reply is read that its saga does not ask for.
    Passes(u8),
    Arrives(u8),
    OrphanArrives(usize),
    Hears(u8),
    Doubts(u8),
    EventLeaves(u8),
    CommandLeaves(u8),
    Acked { instance: u8, seq: Seq },
    Answers { seq: Seq, again: bool },
}

impl Bus {
    pub fn reply(&self, offset: u8) -> Option<(Saga, u8)> {
        (offset < self.reply_end).then(|| self.replies[usize::from(offset)])
    }

    pub fn answer(&mut self, saga: Saga, own: u8) -> bool {
        let room = usize::from(self.reply_end) < REPLIES;
        if room {
            self.replies[usize::from(self.reply_end)] = (saga, own);
            self.reply_end += 1;
        }
        room
    }

    /// A message with the event of row `seq` is published.
    fn event(&mut self, seq: Seq, database: &Database) -> Result<(), String> {
        if seq > database.rows.last() {
            return Err(format!("the event of row {seq} is published, and that row is not stored"));
        }
        let (saga, own) = database.rows.get(seq);
        let first = !self.events[usize::from(seq) - 1];
        let earlier = (1..own).filter_map(|own| database.rows.find(saga, own));
        let missing = earlier.into_iter().find(|seq| !self.events[usize::from(*seq) - 1]);
        self.events[usize::from(seq) - 1] = true;
        match missing.filter(|_| first) {
            Some(missing) => Err(format!("the event of row {seq} is published first, before that of row {missing}")),
            None => Ok(()),
        }
    }

    fn command(&mut self, seq: Seq, database: &Database) -> Result<(), String> {
        if seq > database.rows.last() {
            return Err(format!("the command of row {seq} is published, and that row is not stored"));
        }
        self.commands[usize::from(seq) - 1] = true;
        self.unanswered[usize::from(seq) - 1] += 1;
        Ok(())
    }
}

impl World {
    /// # Errors
    /// If the world is too large for what it is kept in.
    pub fn new(size: Size, twin: Option<Twin>) -> Result<Self, String> {
        let fits = (1..=2).contains(&size.sagas)
            && size.rows >= 1
            && usize::from(size.sagas * size.rows) <= ROWS
            && size.crashes + size.doubts <= 2;
        let sagas = Sagas { count: size.sagas, rows: size.rows };
        fits.then(|| Self { size, sagas, twin, fair: Fair::default() }).ok_or_else(|| format!("there is no room for {size:?}"))
    }

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
                room.then(|| Ok(instance.begin(adds, replies, &self.sagas, self.twin)))
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
                    Holds::Commits { came: None, .. } | Holds::Nothing | Holds::Granted { .. } | Holds::Loaded(_) => None,
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
                instance.memory_mut().map(|memory| Ok(memory.watermark.acked(seq)))
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
        let asked = state.bus.reply(memory.reply_next).map(|(saga, own)| {
            (saga, memory.sagas[usize::from(saga)] == own && self.sagas.pending(own).is_some())
        });
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

impl Model for World {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let Size { takeovers, crashes, doubts, repeats, .. } = self.size;
        State {
            database: Database::NEW,
            instances: [Instance::NEW; 2],
            orphans: [None; 2],
            bus: Bus::default(),
            left: Left { takeovers, crashes, doubts, repeats },
        }
    }

    fn next(&self, state: &State, steps: &mut Steps<Self>) {
        let mut actions = vec![Action::OrphanArrives(0), Action::OrphanArrives(1)];
        for i in [0, 1] {
            actions.extend([Action::Takes(i), Action::Loads(i), Action::Arrives(i), Action::Hears(i)]);
            actions.extend([Action::EventLeaves(i), Action::CommandLeaves(i)]);
            actions.extend([Action::GivesUp(i), Action::Doubts(i), Action::Crashes(i)]);
            self.drafts(state, i, |action| actions.push(action));
            actions.extend((1..=ROWS as Seq).map(|seq| Action::Acked { instance: i, seq }));
        }
        for again in [false, true] {
            actions.extend((1..=ROWS as Seq).map(|seq| Action::Answers { seq, again }));
        }
        for action in actions {
            match self.after(*state, action) {
                Some(Ok(next)) => steps.go(action, next),
                Some(Err(what)) => steps.broken(action, what),
                None => {}
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), Wrong> {
        self.nothing_is_lost(state)?;
        self.fair.ends(self, state)
    }

    fn tell(&self, from: &State, action: Action) -> String {
        tell::line(self, from, action)
    }
}

impl World {
    /// What the marks and the present owner promise.
    fn nothing_is_lost(&self, state: &State) -> Result<(), String> {
        let State { database, instances, bus, .. } = state;
        let pending = |seq: Seq| {
            let (saga, own) = database.rows.get(seq);
            database.rows.of(saga) == own && self.sagas.pending(own).is_some()
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
                let asks = memory.sagas[usize::from(saga)] == own && self.sagas.pending(own).is_some();
                if asks && !bus.commands[at] && !instance.commands.has(seq) {
                    return Err(format!("the pending command of row {seq} is neither published nor on its way"));
                }
            }
        }
        Ok(())
    }
}
