//! The small rules: what a saga asks, and how far a shard's messages have left.

use super::database::{ROWS, Rows, Saga, Seq};
use super::twin::Twin;

/// The sagas of the shard: all alike.
#[derive(Clone, Copy, Debug)]
pub struct Sagas {
    pub count: u8,
    /// How many rows each writes: started, a row for each reply, the last of which ends it.
    pub rows: u8,
}

impl Sagas {
    /// What a saga that has written `own` rows waits for: the reply to the command of its last row.
    pub fn pending(&self, own: u8) -> Option<u8> {
        (1..self.rows).contains(&own).then_some(own)
    }

    /// How many messages row `own` of a saga sends: its event, and a command unless it is the last one.
    pub fn messages(&self, own: u8) -> u8 {
        1 + u8::from(self.pending(own).is_some())
    }

    pub fn all(&self) -> std::ops::Range<Saga> {
        0..self.count
    }

    pub fn have_ended(&self, rows: &Rows) -> bool {
        self.all().all(|saga| rows.of(saga) == self.rows)
    }
}

/// How far the messages of the shard have left: `engine/watermark.rs`, with the same three methods.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Watermark {
    last: Seq,
    /// Of each row: messages that are not acknowledged.
    open: [u8; ROWS],
}

impl Watermark {
    pub fn new(last: Seq) -> Self {
        Self { last, open: [0; ROWS] }
    }

    pub fn handed_over(&mut self, seq: Seq, messages: u8) {
        self.open[usize::from(seq) - 1] += messages;
        self.last = self.last.max(seq);
    }

    pub fn acked(&mut self, seq: Seq) {
        let open = &mut self.open[usize::from(seq) - 1];
        *open = open.saturating_sub(1);
    }

    pub fn published(&self, twin: Option<Twin>) -> Seq {
        let first = (1..).zip(self.open).find(|(_, open)| *open > 0).map(|(seq, _)| seq);
        match (first, twin) {
            (Some(first), Some(Twin::WatermarkOneTooFar)) => first,
            (Some(first), _) => first - 1,
            (None, _) => self.last,
        }
    }
}
