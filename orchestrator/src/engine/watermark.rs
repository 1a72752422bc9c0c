//! How far the messages of a shard's rows have left.

use std::collections::BTreeMap;

/// The rows of one shard whose messages are not all acknowledged.
#[derive(Debug)]
pub struct Watermark {
    /// All rows up to this one were handed over.
    last_seq: u64,
    /// Rows with messages that are not acknowledged, and how many.
    open: BTreeMap<u64, u32>,
}

impl Watermark {
    /// A shard whose last row is `last_seq`; the rows in doubt are handed over again.
    pub fn new(last_seq: u64) -> Self {
        Self { last_seq, open: BTreeMap::new() }
    }

    /// Row `seq` sends that many messages.
    pub fn handed_over(&mut self, seq: u64, messages: u32) {
        if messages > 0 {
            *self.open.entry(seq).or_default() += messages;
        }
        self.last_seq = self.last_seq.max(seq);
    }

    /// One message of row `seq` is acknowledged.
    pub fn acked(&mut self, seq: u64) {
        if let std::collections::btree_map::Entry::Occupied(mut entry) = self.open.entry(seq) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    /// The end of the unbroken run of rows whose messages have all left.
    pub fn published(&self) -> u64 {
        self.open.keys().next().map_or(self.last_seq, |first| first - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_before_the_first_open_row() {
        let mut mark = Watermark::new(10);
        assert_eq!(mark.published(), 10);
        mark.handed_over(11, 2);
        mark.handed_over(12, 0);
        mark.handed_over(13, 1);
        assert_eq!(mark.published(), 10);
        mark.acked(13);
        mark.acked(11);
        assert_eq!(mark.published(), 10);
        mark.acked(11);
        assert_eq!(mark.published(), 13);
        mark.acked(11);
        assert_eq!(mark.published(), 13, "a stray acknowledgement changes nothing");
    }
}
