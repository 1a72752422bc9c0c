//! The timers of all live sagas of this instance, in memory. What timers there are is read off the sagas.

use std::collections::{BTreeMap, BTreeSet};

use saga_model::{Micros, SagaId};

/// What a timer is for. A saga has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// The end of a backoff.
    Backoff,
    /// A command was taken and its answer is overdue.
    NoAnswer,
    /// The saga's deadline.
    Deadline,
}

impl TimerKind {
    pub const ALL: [Self; 3] = [Self::Backoff, Self::NoAnswer, Self::Deadline];

    /// Whether an answer that is already waiting in the reply partition would make this timer moot, so that
    /// it may fire only once that partition has been read.
    pub fn yields_to_replies(self) -> bool {
        match self {
            TimerKind::Backoff => false,
            TimerKind::NoAnswer | TimerKind::Deadline => true,
        }
    }
}

/// Timers, those of each kind in order of their time.
#[derive(Debug, Default)]
pub struct Timers {
    queues: [BTreeSet<(Micros, SagaId)>; TimerKind::ALL.len()],
    armed: BTreeMap<(SagaId, TimerKind), Micros>,
}

impl Timers {
    /// Arms, moves or (with none) disarms a timer.
    pub fn set(&mut self, saga: SagaId, kind: TimerKind, at: Option<Micros>) {
        let key = (saga, kind);
        let armed = self.armed.get(&key).copied();
        if armed == at {
            return;
        }
        let queue = &mut self.queues[kind as usize];
        if let Some(armed) = armed {
            queue.remove(&(armed, saga));
        }
        match at {
            Some(at) => {
                queue.insert((at, saga));
                self.armed.insert(key, at);
            }
            None => {
                self.armed.remove(&key);
            }
        }
    }

    /// Disarms all timers of a saga.
    pub fn forget(&mut self, saga: SagaId) {
        for kind in TimerKind::ALL {
            self.set(saga, kind, None);
        }
    }

    /// When the timer is due, if it is armed.
    pub fn get(&self, saga: SagaId, kind: TimerKind) -> Option<Micros> {
        self.armed.get(&(saga, kind)).copied()
    }

    /// The timers of a kind that are due at `now`, in order. They stay armed until their saga changes.
    pub fn due(&self, kind: TimerKind, now: Micros) -> impl Iterator<Item = (Micros, SagaId)> + '_ {
        self.queues[kind as usize].iter().copied().take_while(move |(at, _)| *at <= now)
    }

    /// When the first timer after `now` is due.
    pub fn next_after(&self, now: Micros) -> Option<Micros> {
        let after = (Micros(now.0.saturating_add(1)), SagaId::from(uuid::Uuid::nil()));
        self.queues.iter().filter_map(|queue| queue.range(after..).next()).map(|(at, _)| *at).min()
    }
}
