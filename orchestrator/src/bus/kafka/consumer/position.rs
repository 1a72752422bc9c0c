//! How far a reply partition has been read, and whether it is still the one that we read.
//!
//! A topic that was deleted and made again has the same name, and its offsets begin again. A consumer that stands
//! at offset 50 would miss the first 50 messages of the new one (the broker says nothing if it holds as many, and
//! the library does not look). So whenever there is reason for doubt, the last message that we read is read once
//! more: if it is another one now, everything is read from the beginning.

use rdkafka::Offset;
use rdkafka::message::{BorrowedMessage, Message as _};
use saga_model::ids::murmur2;

use super::given::Shard;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    next: i64,
    last: Option<Mark>,
    in_doubt: bool,
    /// How often it was told how far the library has fetched, since it is read from here.
    told: u8,
    fetched: i64,
}

/// What tells a message from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    offset: i64,
    at: Option<i64>,
    key: u32,
    bytes: usize,
}

/// What to do with a message that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next one.
    Next,
    /// It is the next one, and stands before those that were read: the partition holds the others no more.
    BeganAgain,
    /// It was read before, and only looked at again.
    Known,
    /// Another topic has taken the place of the one that we read: from its beginning.
    Replaced,
}

impl Mark {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            offset: message.offset(),
            at: message.timestamp().to_millis(),
            key: message.key().map_or(0, murmur2),
            bytes: message.payload().map_or(0, <[u8]>::len),
        }
    }
}

impl Position {
    /// Before the message at `offset`.
    pub(super) fn at(offset: i64) -> Self {
        Self { next: offset, last: None, in_doubt: false, told: 0, fetched: 0 }
    }

    /// Where to read from.
    pub(super) fn offset(&self) -> Offset {
        let offset = match self.last {
            Some(last) if self.in_doubt => last.offset,
            Some(_) | None => self.next,
        };
        if offset <= 0 { Offset::Beginning } else { Offset::Offset(offset) }
    }

    /// Whether a partition that ends at `end` cannot be the one that was read: it lacks the last message that we have,
    /// or ends before the place that was stored.
    pub(super) fn is_beyond(&self, end: i64) -> bool {
        self.last.map_or(end < self.next, |last| end <= last.offset)
    }

    /// Whether nothing was read since a mark that somebody left, which says nothing of another topic.
    pub(super) fn begins_elsewhere(&self) -> bool {
        self.last.is_none() && self.next > 0
    }

    /// There is reason to think that the topic may be another one now. Whether it has to be read from
    /// [`Self::offset`] now.
    pub(super) fn doubt(&mut self) -> bool {
        let first = !self.in_doubt && self.last.is_some();
        self.in_doubt |= first;
        if first {
            (self.told, self.fetched) = (0, 0);
        }
        first
    }

    /// The library has fetched what is before `offset`, and nothing of it waits to be read.
    pub(super) fn fetched(&mut self, offset: i64) {
        // What it says first may be of the time before the partition was read from here.
        self.told = self.told.saturating_add(1);
        if self.told > 2 && !self.in_doubt {
            self.fetched = offset;
        }
    }

    /// Another client reads it from [`Self::offset`] on, and the topic may be another one.
    pub(super) fn renewed(&mut self) {
        self.doubt();
        (self.told, self.fetched) = (0, 0);
    }

    /// What was given out.
    pub(super) fn given(&self) -> Shard {
        Shard { next: self.last.map_or(0, |last| last.offset + 1), all_before: self.fetched }
    }

    pub(super) fn read(&mut self, mark: Mark) -> Verdict {
        let before = *self;
        (self.next, self.last, self.in_doubt) = (mark.offset + 1, Some(mark), false);
        match before.last {
            Some(last) if before.in_doubt && last == mark => Verdict::Known,
            Some(last) if before.in_doubt && last.offset == mark.offset && mark.offset > 0 => {
                *self = Self::at(0);
                Verdict::Replaced
            }
            Some(_) | None if mark.offset < before.next => Verdict::BeganAgain,
            Some(_) | None => Verdict::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64, at: i64) -> Mark {
        Mark { offset, at: Some(at), key: 1, bytes: 10 }
    }

    fn read_to(offset: i64) -> Position {
        let mut position = Position::at(0);
        for offset in 0..=offset {
            assert_eq!(position.read(mark(offset, offset)), Verdict::Next);
        }
        position
    }

    #[test]
    fn the_same_topic_goes_on_where_it_was() {
        let mut position = read_to(5);
        assert!(position.doubt() && !position.doubt());
        assert_eq!(position.offset(), Offset::Offset(5));
        assert_eq!(position.read(mark(5, 5)), Verdict::Known);
        assert_eq!(position.offset(), Offset::Offset(6));
        assert_eq!(position.read(mark(6, 6)), Verdict::Next);
    }

    #[test]
    fn a_topic_that_ends_before_the_last_message_is_another_one() {
        let position = read_to(5);
        assert!(position.is_beyond(5));
        assert!(!position.is_beyond(6), "it may be the same");
        assert!(Position::at(5).is_beyond(4), "it was read to there before, by somebody");
        assert!(!Position::at(5).is_beyond(5), "it may be the same");
        assert!(
            Position::at(5).begins_elsewhere() && !Position::at(0).begins_elsewhere() && !position.begins_elsewhere()
        );
    }

    #[test]
    fn a_longer_topic_in_its_place_is_read_from_the_beginning() {
        let mut position = read_to(5);
        position.doubt();
        assert_eq!(position.read(mark(5, 99)), Verdict::Replaced);
        assert_eq!(position.offset(), Offset::Beginning);
        assert_eq!(position.read(mark(0, 90)), Verdict::Next);
    }

    #[test]
    fn a_shorter_topic_in_its_place_begins_again_by_itself() {
        let mut position = read_to(5);
        position.doubt();
        assert_eq!(position.read(mark(0, 99)), Verdict::BeganAgain);
        assert_eq!(position.read(mark(1, 99)), Verdict::Next);
        let mut position = read_to(5);
        assert_eq!(position.read(mark(0, 99)), Verdict::BeganAgain, "without doubt too");
        let mut position = read_to(0);
        position.doubt();
        assert_eq!(position.read(mark(0, 99)), Verdict::BeganAgain, "the first message is the beginning");
    }

    #[test]
    fn what_the_topic_holds_no_more_is_passed_over() {
        let mut position = read_to(5);
        position.doubt();
        assert_eq!(position.read(mark(8, 8)), Verdict::Next);
    }

    #[test]
    fn what_was_fetched_and_is_no_message_was_read_too() {
        let mut position = read_to(5);
        assert_eq!(position.given(), Shard { next: 6, all_before: 0 });
        (0..3).for_each(|_| position.fetched(9));
        assert_eq!(position.given(), Shard { next: 6, all_before: 9 });
        position.doubt();
        position.fetched(9);
        assert_eq!(position.given(), Shard { next: 6, all_before: 0 }, "said of another topic, maybe");
        let mut position = Position::at(100);
        (0..2).for_each(|_| position.fetched(100));
        assert_eq!(position.given(), Shard::default(), "said of a time before, maybe");
        position.fetched(100);
        assert_eq!(position.given(), Shard { next: 0, all_before: 100 });
    }

    #[test]
    fn nothing_read_leaves_nothing_to_doubt() {
        let mut position = Position::at(7);
        assert!(!position.doubt());
        assert_eq!(position.offset(), Offset::Offset(7));
        assert_eq!(Position::at(-3).offset(), Offset::Beginning);
    }
}
