//! The broker: what was published, and what waits to be read.

use super::database::{Database, ROWS, Saga, Seq};

/// Replies that the partition has room for.
const REPLIES: usize = 10;

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
    pub fn event(&mut self, seq: Seq, database: &Database) -> Result<(), String> {
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

    pub fn command(&mut self, seq: Seq, database: &Database) -> Result<(), String> {
        if seq > database.rows.last() {
            return Err(format!("the command of row {seq} is published, and that row is not stored"));
        }
        self.commands[usize::from(seq) - 1] = true;
        self.unanswered[usize::from(seq) - 1] += 1;
        Ok(())
    }
}
