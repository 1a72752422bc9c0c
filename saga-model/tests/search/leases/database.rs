//! What is durable: the shard's row, and the history of its sagas.

use super::twin::Twin;

/// The most rows that a shard gets here.
pub const ROWS: usize = 8;

/// A saga, by number.
pub type Saga = u8;
/// The place of a row in its shard, from 1 (`shard_seq`).
pub type Seq = u8;

/// The history of the shard: which saga each row belongs to, in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rows {
    sagas: [Saga; ROWS],
    count: u8,
}

impl Rows {
    pub fn last(&self) -> Seq {
        self.count
    }

    pub fn push(&mut self, saga: Saga) {
        self.sagas[usize::from(self.count)] = saga;
        self.count += 1;
    }

    /// The saga of row `seq`, and how many rows it has up to there: its own `seq`.
    pub fn get(&self, seq: Seq) -> (Saga, u8) {
        let upto = &self.sagas[..usize::from(seq)];
        let saga = upto[usize::from(seq) - 1];
        (saga, upto.iter().filter(|other| **other == saga).count() as u8)
    }

    /// How many rows a saga has.
    pub fn of(&self, saga: Saga) -> u8 {
        self.sagas[..usize::from(self.count)].iter().filter(|other| **other == saga).count() as u8
    }

    /// The row of a saga by the saga's own count, from 1.
    pub fn find(&self, saga: Saga, own: u8) -> Option<Seq> {
        (1..=self.count).find(|seq| self.get(*seq) == (saga, own))
    }
}

/// The shard's row, and all rows of its history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Database {
    /// How often it was taken. Who owns it is whoever took it last: a lease may end at any moment, so that anybody may
    /// take it at any moment.
    pub epoch: u8,
    pub published: Seq,
    pub reply_offset: u8,
    pub rows: Rows,
}

/// What one transaction stores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Batch {
    pub epoch: u8,
    /// The last row that its owner knows of.
    pub after: Seq,
    /// The sagas that get a row.
    pub adds: [Option<Saga>; 2],
    pub published: Seq,
    pub reply_offset: u8,
}

/// What came of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Came {
    Stored,
    FenceLost,
}

impl Database {
    pub const NEW: Self = Self { epoch: 0, published: 0, reply_offset: 0, rows: Rows { sagas: [0; ROWS], count: 0 } };

    /// A batch arrives (`store/fence.rs`: `judge`, and the statement `DECIDE` in `store/postgres/statements.rs`).
    ///
    /// # Errors
    /// If something was stored that must not be.
    pub fn commit(&mut self, batch: &Batch, twin: Option<Twin>) -> Result<Came, String> {
        if batch.epoch != self.epoch {
            if twin != Some(Twin::NoFence) {
                return Ok(Came::FenceLost);
            }
            return Err(format!(
                "an owner of epoch {} that was deposed (the epoch is {}) has committed",
                batch.epoch, self.epoch
            ));
        }
        if batch.after != self.rows.last() {
            let (after, last) = (batch.after, self.rows.last());
            return Err(format!("the owner has lost count: it goes on after row {after}, the last one is {last}"));
        }
        batch.adds.iter().flatten().for_each(|saga| self.rows.push(*saga));
        self.published = batch.published;
        self.reply_offset = batch.reply_offset;
        Ok(Came::Stored)
    }
}
