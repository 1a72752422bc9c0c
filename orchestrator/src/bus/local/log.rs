//! A reply partition in memory.

use std::collections::VecDeque;

use crate::bus::Incoming;

/// Messages that are read at a time, at most.
const MAX_READ: usize = 1_000;
/// Messages that are kept after they were read, for a reader that takes the shard again and goes back a little.
const KEPT: usize = 1_000;

/// The messages of a partition that are kept, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: VecDeque<Incoming>,
    end: i64,
}

impl Log {
    /// Puts a message at the end.
    pub(super) fn keep(&mut self, mut incoming: Incoming) -> i64 {
        incoming.offset = self.end;
        self.end += 1;
        self.kept.push_back(incoming);
        self.end - 1
    }

    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Where a reader goes on that has come to `offset`. If that was in an earlier process, the offsets go on from
    /// there, so that none stands for two messages.
    pub(super) fn read_from(&mut self, offset: i64) -> i64 {
        if offset > self.end {
            // Nobody has read what is kept: whoever has, has come no further than to the end.
            for (message, offset) in self.kept.iter_mut().zip(offset..) {
                message.offset = offset;
            }
            self.end = offset.saturating_add_unsigned(self.kept.len() as u64);
        }
        self.begin().max(offset).min(self.end)
    }

    /// The messages from `next` on. Most of what lies before is read and done with.
    pub(super) fn read(&mut self, next: i64) -> Vec<Incoming> {
        let read = usize::try_from(next - self.begin()).unwrap_or(0).min(self.kept.len());
        let read = read - self.kept.drain(..read.saturating_sub(KEPT)).count();
        self.kept.range(read..).take(MAX_READ).cloned().collect()
    }

    fn begin(&self) -> i64 {
        self.kept.front().map_or(self.end, |first| first.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Incoming {
        Incoming {
            partition: 0,
            offset: 0,
            key: None,
            value: Some(text.as_bytes().to_vec()),
            headers: service::headers::Headers::new(),
        }
    }

    fn offsets(messages: &[Incoming]) -> Vec<i64> {
        messages.iter().map(|message| message.offset).collect()
    }

    #[test]
    fn a_reader_of_an_earlier_process_goes_on() {
        let mut log = Log::default();
        assert_eq!(log.read_from(7), 7);
        assert_eq!(log.keep(message("a")), 7);
        assert_eq!(offsets(&log.read(7)), [7]);
        assert_eq!(offsets(&log.read(7)), [7], "read again until it is done with");
        assert!(log.read(8).is_empty());
        assert_eq!(log.end(), 8);
    }

    #[test]
    fn what_came_before_a_reader_of_an_earlier_process_is_read() {
        let mut log = Log::default();
        log.keep(message("a"));
        log.keep(message("b"));
        assert_eq!(log.read_from(100), 100);
        assert_eq!(offsets(&log.read(100)), [100, 101]);
        assert_eq!(log.end(), 102);
    }

    #[test]
    fn a_reader_goes_back_to_what_is_kept() {
        let mut log = Log::default();
        (0..3000).for_each(|_| _ = log.keep(message("x")));
        assert_eq!(log.read_from(1), 1);
        assert_eq!(log.read(0).len(), MAX_READ);
        assert_eq!(offsets(&log.read(2500))[0], 2500);
        assert_eq!(log.read_from(2000), 2000);
        assert_eq!(log.read_from(0), 1500, "the rest is forgotten");
        assert_eq!(log.read_from(-5), 1500);
        assert_eq!(log.kept.len(), 1500);
    }
}
