//! An instance: what it has in memory, and what is on its way out of it.

use super::database::{Batch, Came, Database, ROWS, Saga, Seq};
use super::rules::{Sagas, Watermark};
use super::twin::Twin;

/// Messages that an instance may have in one lane.
const LANE: usize = 12;

/// Messages on their way to the broker, in order, each with the row that it belongs to and the epoch in which it was
/// handed over: a lane of the producer (`bus/kafka/producer/lane.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane {
    messages: [(Seq, u8); LANE],
    count: u8,
}

impl Lane {
    const EMPTY: Self = Self { messages: [(0, 0); LANE], count: 0 };

    pub fn push(&mut self, seq: Seq, epoch: u8) {
        self.messages[usize::from(self.count)] = (seq, epoch);
        self.count += 1;
    }

    pub fn pop(&mut self) -> Option<(Seq, u8)> {
        (self.count > 0).then(|| {
            let first = self.messages[0];
            self.messages.rotate_left(1);
            self.messages[LANE - 1] = (0, 0);
            self.count -= 1;
            first
        })
    }

    pub fn has(&self, seq: Seq) -> bool {
        self.messages[..usize::from(self.count)].iter().any(|(other, _)| *other == seq)
    }

    /// Forgets the epochs that count no more.
    fn forget(&mut self, epoch: Option<u8>) {
        for (_, of) in &mut self.messages[..usize::from(self.count)] {
            if Some(*of) != epoch {
                *of = 0;
            }
        }
    }

    /// Whether it has no room for all rows once more: then it is drained first.
    pub fn is_full(&self) -> bool {
        usize::from(self.count) + ROWS > LANE
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What an instance has in memory of the shard that it owns (`engine/core.rs`: `OwnedShard` and its sagas).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory {
    pub epoch: u8,
    pub last_seq: Seq,
    pub watermark: Watermark,
    /// The next reply to read.
    pub reply_next: u8,
    /// The marks as they are stored.
    pub stored: (Seq, u8),
    /// How many rows each saga has.
    pub sagas: [u8; 2],
}

/// How far an instance is with the shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Holds {
    Nothing,
    /// It has taken the shard, with these marks, and has not loaded it yet (`engine/shards.rs`: `load`).
    Granted {
        epoch: u8,
        last_seq: Seq,
        published: Seq,
        reply_offset: u8,
    },
    Loaded(Memory),
    /// A commit is under way: what was drafted, and once it has arrived, the answer.
    Commits {
        memory: Memory,
        batch: Batch,
        came: Option<Came>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instance {
    pub holds: Holds,
    pub events: Lane,
    pub commands: Lane,
    /// Acknowledgements on their way back, by row; those of an earlier epoch count no more.
    pub acks: [u8; ROWS],
}

impl Instance {
    pub const NEW: Self = Self { holds: Holds::Nothing, events: Lane::EMPTY, commands: Lane::EMPTY, acks: [0; ROWS] };

    /// `engine/recover.rs`, `Core::install`: the rows past the watermark are sent again, and of the commands those that
    /// are still pending.
    ///
    /// # Errors
    /// If a command is sent that its saga asks no more.
    pub fn install(&mut self, database: &Database, sagas: &Sagas, twin: Option<Twin>) -> Result<(), String> {
        let Holds::Granted { epoch, last_seq, published, reply_offset } = self.holds else { return Ok(()) };
        let rows = &database.rows;
        let mut memory = Memory {
            epoch,
            last_seq,
            watermark: Watermark::new(published),
            reply_next: reply_offset,
            stored: (published, reply_offset),
            sagas: [0, 1].map(|saga| rows.of(saga)),
        };
        for seq in published + 1..=rows.last() {
            let (saga, own) = rows.get(seq);
            let mut sent = 0;
            if twin != Some(Twin::TakeoverWithoutResend) {
                self.events.push(seq, epoch);
                sent += 1;
                let asks = sagas.pending(own).is_some() && twin == Some(Twin::TakeoverResendsTheAnswered);
                if asks || sagas.pending(rows.of(saga)) == Some(own) {
                    self.send(seq, own, &memory, saga)?;
                    sent += 1;
                }
            }
            memory.watermark.handed_over(seq, sent);
            memory.last_seq = memory.last_seq.max(seq);
        }
        self.acks = [0; ROWS];
        self.holds = Holds::Loaded(memory);
        Ok(())
    }

    fn send(&mut self, seq: Seq, own: u8, memory: &Memory, saga: Saga) -> Result<(), String> {
        let now = memory.sagas[usize::from(saga)];
        if now != own {
            return Err(format!("the command of row {own} of saga {saga} is sent, and that saga is at row {now}"));
        }
        self.commands.push(seq, memory.epoch);
        Ok(())
    }

    /// Drafts what these inputs do and begins to commit it (`engine/carry.rs`).
    pub fn begin(&mut self, adds: [Option<Saga>; 2], replies_read: u8, sagas: &Sagas, twin: Option<Twin>) {
        let Holds::Loaded(memory) = self.holds else { return };
        let batch = Batch {
            epoch: memory.epoch,
            after: memory.last_seq,
            adds,
            // One write behind: what was acknowledged before this batch (`engine/settle.rs`: `encode`).
            published: memory.watermark.published(twin),
            reply_offset: memory.reply_next + replies_read,
        };
        if twin == Some(Twin::PublishBeforeCommit) {
            for (seq, saga) in (memory.last_seq + 1..).zip(adds.into_iter().flatten()) {
                let own = memory.sagas[usize::from(saga)] + 1;
                self.events.push(seq, memory.epoch);
                if sagas.pending(own).is_some() {
                    self.commands.push(seq, memory.epoch);
                }
            }
        }
        self.holds = Holds::Commits { memory, batch, came: None };
    }

    /// The commit is known to be stored: memory is replaced, messages are handed over (`engine/settle.rs`).
    ///
    /// # Errors
    /// If a command is sent that its saga asks no more.
    pub fn settle(&mut self, sagas: &Sagas, twin: Option<Twin>) -> Result<(), String> {
        let Holds::Commits { mut memory, batch, .. } = self.holds else { return Ok(()) };
        memory.stored = (batch.published, batch.reply_offset);
        if twin != Some(Twin::OffsetAheadOfEffect) || batch.adds != [None; 2] {
            memory.reply_next = memory.reply_next.max(batch.reply_offset);
        }
        batch.adds.iter().flatten().for_each(|saga| memory.sagas[usize::from(*saga)] += 1);
        for saga in batch.adds.into_iter().flatten() {
            memory.last_seq += 1;
            let own = memory.sagas[usize::from(saga)];
            memory.watermark.handed_over(memory.last_seq, sagas.messages(own));
            if twin != Some(Twin::PublishBeforeCommit) {
                self.events.push(memory.last_seq, memory.epoch);
                if sagas.pending(own).is_some() {
                    self.send(memory.last_seq, own, &memory, saga)?;
                }
            }
        }
        self.holds = Holds::Loaded(memory);
        Ok(())
    }

    /// Whether an acknowledgement of this epoch counts (`engine/due.rs`: `note_ack`).
    pub fn epoch(&self) -> Option<u8> {
        match &self.holds {
            Holds::Loaded(memory) | Holds::Commits { memory, .. } => Some(memory.epoch),
            Holds::Nothing | Holds::Granted { .. } => None,
        }
    }

    /// The shard is somebody else's, or in doubt (`engine/core.rs`: `drop_shard`). What is in the lanes still leaves.
    pub fn drop_shard(&mut self) {
        self.holds = Holds::Nothing;
        self.acks = [0; ROWS];
    }

    /// Forgets what makes no difference any more.
    pub fn forget(&mut self) {
        let epoch = self.epoch();
        self.events.forget(epoch);
        self.commands.forget(epoch);
    }

    /// A message has left: its acknowledgement will count if the shard is still held as it was then.
    pub fn note_sent(&mut self, seq: Seq, epoch: u8) {
        if self.epoch() == Some(epoch) {
            self.acks[usize::from(seq) - 1] += 1;
        }
    }

    pub fn memory(&self) -> Option<&Memory> {
        match &self.holds {
            Holds::Loaded(memory) | Holds::Commits { memory, .. } => Some(memory),
            Holds::Nothing | Holds::Granted { .. } => None,
        }
    }

    pub fn memory_mut(&mut self) -> Option<&mut Memory> {
        match &mut self.holds {
            Holds::Loaded(memory) | Holds::Commits { memory, .. } => Some(memory),
            Holds::Nothing | Holds::Granted { .. } => None,
        }
    }
}
