//! One partition in memory.

use std::collections::VecDeque;

use crate::bus::Incoming;

/// Messages that were read at a time, at most.
const MAX_READ: usize = 1_000;

/// The messages of a partition that are kept, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: VecDeque<Incoming>,
    end: i64,
}

impl Log {
    /// Puts a message at the end, for a reader that asks for it.
    pub(super) fn keep(&mut self, mut incoming: Incoming) -> i64 {
        incoming.offset = self.pass();
        let offset = incoming.offset;
        self.kept.push_back(incoming);
        offset
    }

    /// Gives the next message its offset and forgets it.
    pub(super) fn pass(&mut self) -> i64 {
        self.end += 1;
        self.end - 1
    }

    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Where a reader goes on that has come to `offset`, perhaps of an earlier process: offsets go on from there.
    pub(super) fn read_from(&mut self, offset: i64) -> i64 {
        if self.kept.is_empty() {
            self.end = self.end.max(offset);
        }
        self.kept.front().map_or(self.end, |first| first.offset.max(offset))
    }

    /// The messages from `next` on. What lies before is read and done with.
    pub(super) fn read(&mut self, next: i64) -> Vec<Incoming> {
        while self.kept.front().is_some_and(|first| first.offset < next) {
            self.kept.pop_front();
        }
        self.kept.iter().take(MAX_READ).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Incoming {
        Incoming { partition: 0, offset: 0, key: None, value: Some(text.as_bytes().to_vec()), headers: Vec::new() }
    }

    #[test]
    fn a_reader_of_an_earlier_process_goes_on() {
        let mut log = Log::default();
        assert_eq!(log.read_from(7), 7);
        assert_eq!(log.keep(message("a")), 7);
        assert_eq!(log.read(7).len(), 1);
        assert_eq!(log.read(7).len(), 1, "read again until it is done with");
        assert_eq!(log.read(8).len(), 0);
        assert_eq!(log.end(), 8);
    }

    #[test]
    fn a_late_reader_begins_with_what_is_kept() {
        let mut log = Log::default();
        log.keep(message("a"));
        log.keep(message("b"));
        assert_eq!(log.read_from(100), 100, "an offset that is not held");
        assert_eq!(log.read_from(1), 1);
        assert_eq!(log.read(1).len(), 1);
    }
}
