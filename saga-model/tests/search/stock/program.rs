//! What a worker is at: the calls of `workers/src/shop/stock/redis.rs` and `rebuild.rs` and of the runtime around
//! them, one a step. Between any two of them the worker may freeze.

use super::memory::{Admitted, Memory, PutBack};
use super::records::{Booked, Records, Status};
use super::twin::Twin;

/// Where a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum At {
    // `RedisStock::reserve`
    /// Looks whether a reservation that may have been begun is on record.
    Known,
    /// `reserve.lua`, in the generation that the process knows of.
    Admit,
    /// Gives a product that Redis does not know its default stock, unless SQL knows it.
    Default,
    /// Reads from SQL how many units of it there are.
    ReadUnits,
    Learn {
        generation: u8,
        units: u8,
    },
    /// Enters what Redis admitted.
    Book {
        generation: u8,
    },
    PutBack {
        generation: u8,
        what: PutBack,
        yes: bool,
    },
    /// A refusal of what may have been begun before settles that first.
    Settle,
    SettlePutBack {
        generation: u8,
    },
    Answer {
        yes: bool,
    },
    // `RedisStock::renew` and `rebuild::rebuild`, on the way of `reserve`
    Current {
        distrusted: Option<u8>,
    },
    Holds {
        counts: u8,
        distrusted: Option<u8>,
    },
    Lock {
        distrusted: Option<u8>,
    },
    HoldsLocked {
        old: u8,
        distrusted: Option<u8>,
    },
    Fill {
        new: u8,
        units: Option<u8>,
    },
    Flip {
        new: u8,
    },
    Commit {
        new: u8,
    },
    // A compensation: settled if need be, then `RedisStock::release`
    UndoSettle,
    UndoSettlePutBack {
        generation: u8,
    },
    Release,
    ReleasePutBack {
        generation: u8,
        what: PutBack,
        undone: bool,
    },
    UndoAnswer {
        undone: bool,
    },
}

/// What a step comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    Go(At),
    Reserved { yes: bool },
    Undone,
}

/// A command that a worker works on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Task {
    pub order: u8,
    pub repeated: bool,
    pub at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    /// The generation that counted when the process last looked; 0 if it never did.
    pub generation: u8,
    pub task: Option<Task>,
}

impl Worker {
    pub const NEW: Self = Self { generation: 0, task: None };

    /// The number of a generation that it may be loading.
    pub fn loading(&self) -> Option<u8> {
        match self.task?.at {
            At::Fill { new, .. } | At::Flip { new } | At::Commit { new } => Some(new),
            _ => None,
        }
    }

    /// The next call; `None` while it waits for a row.
    pub fn step(&mut self, me: u8, sql: &mut Records, redis: &mut Memory, twin: Option<Twin>) -> Option<Next> {
        let Task { order, repeated, at } = self.task?;
        let go = |at| Some(Next::Go(at));
        match at {
            At::Known => go(match sql.of(order) {
                Some(known) => At::Answer { yes: known.status != Status::Released },
                None => At::Admit,
            }),
            At::Admit if self.generation == 0 => go(At::Current { distrusted: None }),
            At::Admit => go(match redis.reserve(self.generation, order, twin) {
                Admitted::Stale => At::Current { distrusted: None },
                Admitted::Taken => At::Book { generation: self.generation },
                Admitted::Out => At::Answer { yes: false },
                Admitted::Unknown => At::Default,
                Admitted::Short if repeated && twin != Some(Twin::RefusesWithoutSettling) => At::Settle,
                Admitted::Short => At::Answer { yes: false },
            }),
            At::Default => {
                sql.known = true;
                go(At::ReadUnits)
            }
            At::ReadUnits => go(At::Learn { generation: self.generation, units: sql.available() }),
            At::Learn { generation, units } => go(match redis.learn(generation, units, twin) {
                true => At::Admit,
                false => At::Current { distrusted: None },
            }),
            At::Book { generation } => go(match sql.book(order, generation, twin)? {
                Booked::New => At::Answer { yes: true },
                Booked::Stale => At::Current { distrusted: None },
                Booked::Disagrees => At::Current { distrusted: Some(generation) },
                // It was on record before: what Redis set apart just now may be one too many.
                Booked::Known(known) if known.status == Status::Released => {
                    At::PutBack { generation, what: PutBack::Drop, yes: false }
                }
                Booked::Known(known) if known.generation == generation => At::Answer { yes: true },
                Booked::Known(_) => At::PutBack { generation, what: PutBack::Forget, yes: true },
            }),
            At::PutBack { generation, what, yes } => {
                redis.put_back(generation, order, what, twin);
                go(At::Answer { yes })
            }
            At::Settle => {
                let (stands, generation) = sql.settle(order);
                go(if stands { At::Answer { yes: true } } else { At::SettlePutBack { generation } })
            }
            At::SettlePutBack { generation } => {
                redis.put_back(generation, order, PutBack::Drop, twin);
                go(At::Answer { yes: false })
            }
            At::Answer { yes } => Some(Next::Reserved { yes }),
            At::Current { .. } | At::Holds { .. } | At::Lock { .. } | At::HoldsLocked { .. } => {
                go(self.look(at, me, sql, redis, twin)?)
            }
            At::Fill { new, units } => {
                redis.content.filled[usize::from(new)] = true;
                redis.content.shelf[usize::from(new)] = units;
                go(At::Flip { new })
            }
            At::Flip { new } if !redis.content.filled[usize::from(new)] && twin != Some(Twin::FlipsBlindly) => {
                // It was lost while it was filled: once more.
                sql.locked_by = sql.locked_by.filter(|by| *by != me);
                go(At::Current { distrusted: None })
            }
            At::Flip { new } => {
                redis.content.marker = Some((new, redis.run));
                go(At::Commit { new })
            }
            At::Commit { new } => go(if sql.locked_by == Some(me) {
                (sql.generation, sql.locked_by) = (new, None);
                self.generation = new;
                At::Admit
            } else {
                At::Current { distrusted: None } // the server has ended the transaction: once more
            }),
            At::UndoSettle => {
                let (stands, generation) = sql.settle(order);
                go(if stands { At::Release } else { At::UndoSettlePutBack { generation } })
            }
            At::UndoSettlePutBack { generation } => {
                redis.put_back(generation, order, PutBack::Drop, twin);
                go(At::Release)
            }
            At::Release => {
                let (generation, what, undone) = sql.release(order, twin)?;
                go(what.map_or(At::UndoAnswer { undone }, |what| At::ReleasePutBack { generation, what, undone }))
            }
            At::ReleasePutBack { generation, what, undone } => {
                redis.put_back(generation, order, what, twin);
                go(At::UndoAnswer { undone })
            }
            At::UndoAnswer { .. } => Some(Next::Undone),
        }
    }

    /// `RedisStock::renew` and `rebuild::rebuild`, up to the load.
    fn look(&mut self, at: At, me: u8, sql: &mut Records, redis: &Memory, twin: Option<Twin>) -> Option<At> {
        let mut fine = |counts, distrusted: Option<u8>| {
            let fine = distrusted != Some(counts) && redis.holds(counts, twin);
            if fine {
                self.generation = counts;
            }
            fine
        };
        Some(match at {
            At::Holds { counts, distrusted } if fine(counts, distrusted) => At::Admit,
            At::Holds { distrusted, .. } => At::Lock { distrusted },
            At::Lock { distrusted } => {
                sql.locked_by.is_none().then_some(())?;
                sql.locked_by = Some(me);
                At::HoldsLocked { old: sql.generation, distrusted }
            }
            At::HoldsLocked { old, distrusted } if fine(old, distrusted) => {
                sql.locked_by = sql.locked_by.filter(|by| *by != me);
                At::Admit
            }
            At::HoldsLocked { old, .. } => {
                let twice = twin == Some(Twin::NumberGivenTwice);
                let new = if twice { sql.generation + 1 } else { sql.next_generation };
                sql.next_generation = sql.next_generation.max(new + 1);
                let before = redis.content.shelf[usize::from(old)].unwrap_or(sql.on_hand);
                let units = if twin == Some(Twin::RebuildFromRedis) { before } else { sql.available() };
                At::Fill { new, units: sql.known.then_some(units) }
            }
            At::Current { distrusted } => At::Holds { counts: sql.generation, distrusted },
            other => other, // the rest is not about looking
        })
    }
}
