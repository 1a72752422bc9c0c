//! Which commands a worker's group has taken.
//!
//! A step's time runs from the moment when its command is taken, so that neither a worker that is away nor a
//! long queue makes a wave of timeouts. A command is taken once the group's committed offset has passed it.
//! One that its topic does not hold any more (or holds under another life of the topic) is lost.

use std::collections::BTreeMap;

use saga_model::SagaId;
use saga_model::ids::partition_of;
use saga_model::state::CommandRef;

use crate::bus::Progress;

/// A command that waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub saga: SagaId,
    pub command: CommandRef,
}

/// The commands of this instance that wait to be taken, by topic and partition.
#[derive(Debug, Default)]
pub struct TakenTracker {
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    partitions: BTreeMap<i32, Queue>,
    /// Sent by an owner before us: they lie before the end that we see first, unless the topic was made anew.
    inherited: Vec<Waiting>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By offset; the mark says that it was there at an earlier look.
    waiting: BTreeMap<i64, Vec<(Waiting, bool)>>,
    /// The end at the last look: an end that goes back is a new life of the topic.
    end: i64,
}

/// What a look at the broker told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub taken: Vec<Waiting>,
    pub lost: Vec<Waiting>,
}

impl Queue {
    fn push(&mut self, offset: i64, waiting: Waiting) {
        self.waiting.entry(offset).or_default().push((waiting, false));
    }

    /// Takes out what lies before `offset`.
    fn before(&mut self, offset: i64) -> impl Iterator<Item = Waiting> + use<> {
        let rest = self.waiting.split_off(&offset);
        std::mem::replace(&mut self.waiting, rest).into_values().flatten().map(|(waiting, _)| waiting)
    }

    fn look(&mut self, seen: &Progress, look: &mut Look) {
        if seen.end < self.end {
            look.lost.extend(self.before(i64::MAX));
        }
        self.end = seen.end;
        // A group that is past the end was there in another life of the topic, and has taken nothing of this one.
        let committed = seen.committed.filter(|committed| *committed <= seen.end).unwrap_or(0);
        look.taken.extend(self.before(committed));
        look.lost.extend(self.before(seen.begin));
        // An offset at or past the end may be newer than this look; one that an earlier look knew is not.
        for (offset, list) in &mut self.waiting {
            if *offset >= seen.end {
                look.lost.extend(list.extract_if(.., |(_, known)| *known).map(|(waiting, _)| waiting));
            }
            list.iter_mut().for_each(|(_, known)| *known = true);
        }
    }
}

impl TakenTracker {
    /// The broker has the command at that offset.
    pub fn acked(&mut self, topic: &str, partition: i32, offset: i64, waiting: Waiting) {
        self.topic(topic).partitions.entry(partition).or_default().push(offset, waiting);
    }

    /// A former owner sent the command; it stands somewhere before the present end of its partition.
    pub fn inherited(&mut self, topic: &str, waiting: Waiting) {
        self.topic(topic).inherited.push(waiting);
    }

    fn topic(&mut self, topic: &str) -> &mut Topic {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Topic::default());
        }
        self.topics.entry(topic.to_owned()).or_default()
    }

    /// The topics in which something waits.
    pub fn topics(&self) -> Vec<String> {
        let waits = |topic: &Topic| {
            !topic.inherited.is_empty() || topic.partitions.values().any(|queue| !queue.waiting.is_empty())
        };
        self.topics.iter().filter(|(_, topic)| waits(topic)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes note of how far the group has come, for all partitions of the topic. `progress` was asked for after the
    /// last look was noted. `still_waits` says of a command whether its saga still asks it.
    pub fn look(&mut self, topic: &str, progress: &[Progress], still_waits: impl Fn(&Waiting) -> bool) -> Look {
        let mut look = Look::default();
        let Some(topic) = self.topics.get_mut(topic) else { return look };
        let partitions = u32::try_from(progress.len()).unwrap_or(u32::MAX);
        for waiting in std::mem::take(&mut topic.inherited) {
            let place = partition_of(waiting.saga.to_string().as_bytes(), partitions);
            match progress.iter().find(|seen| u32::try_from(seen.partition) == Ok(place)) {
                // What was never written to, or to less than the group has finished, is another topic than the one
                // that it was sent to. If it was sent to this one too, sending it once more is harmless.
                Some(seen) if seen.end == 0 || seen.committed > Some(seen.end) => look.lost.push(waiting),
                Some(seen) => topic.partitions.entry(seen.partition).or_default().push(seen.end - 1, waiting),
                None => {}
            }
        }
        for seen in progress {
            let queue = topic.partitions.entry(seen.partition).or_default();
            queue.look(seen, &mut look);
            queue.waiting.retain(|_, list| {
                list.retain(|(waiting, _)| still_waits(waiting));
                !list.is_empty()
            });
        }
        look.taken.retain(&still_waits);
        look.lost.retain(&still_waits);
        look
    }

    /// Forgets the commands of sagas that `of` names: their shard is no longer ours.
    pub fn forget(&mut self, of: impl Fn(SagaId) -> bool) {
        for topic in self.topics.values_mut() {
            topic.inherited.retain(|waiting| !of(waiting.saga));
            for queue in topic.partitions.values_mut() {
                queue.waiting.retain(|_, list| {
                    list.retain(|(waiting, _)| !of(waiting.saga));
                    !list.is_empty()
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_model::definition::StepIndex;
    use saga_model::state::Kind;

    fn waiting(n: u128) -> Waiting {
        let command = CommandRef { step: StepIndex(0), kind: Kind::Action, round: 1, attempt: 1 };
        Waiting { saga: uuid::Uuid::from_u128(n).into(), command }
    }

    fn seen(begin: i64, end: i64, committed: Option<i64>) -> [Progress; 1] {
        [Progress { partition: 0, begin, end, committed }]
    }

    fn tracker(offsets: &[i64]) -> TakenTracker {
        let mut tracker = TakenTracker::default();
        for offset in offsets {
            tracker.acked("t", 0, *offset, waiting(*offset as u128));
        }
        tracker
    }

    #[test]
    fn a_command_is_taken_once_the_committed_offset_is_past_it() {
        let mut tracker = tracker(&[4, 5, 6]);
        assert_eq!(tracker.look("t", &seen(0, 7, None), |_| true), Look::default());
        assert_eq!(tracker.look("t", &seen(0, 7, Some(5)), |_| true).taken, [waiting(4)]);
        assert_eq!(tracker.topics(), ["t"]);
        assert_eq!(tracker.look("t", &seen(0, 7, Some(7)), |_| true).taken, [waiting(5), waiting(6)]);
        assert!(tracker.topics().is_empty());
    }

    #[test]
    fn what_a_group_had_taken_of_an_earlier_topic_of_the_name_does_not_count() {
        let mut tracker = tracker(&[4, 5]);
        assert_eq!(tracker.look("t", &seen(0, 6, Some(563)), |_| true), Look::default());
        assert_eq!(tracker.look("t", &seen(0, 6, Some(6)), |_| true).taken, [waiting(4), waiting(5)]);
    }

    #[test]
    fn what_a_topic_does_not_hold_is_lost() {
        let look = tracker(&[4, 5]).look("t", &seen(5, 7, Some(2)), |_| true);
        assert_eq!((look.taken.as_slice(), look.lost.as_slice()), (&[][..], &[waiting(4)][..]));
        let mut anew = tracker(&[4, 5]);
        anew.look("t", &seen(0, 6, None), |_| true);
        assert_eq!(
            anew.look("t", &seen(0, 1, None), |_| true).lost,
            [waiting(4), waiting(5)],
            "the topic was made anew"
        );
    }

    #[test]
    fn what_is_newer_than_the_look_is_not_lost() {
        let mut tracker = tracker(&[4]);
        assert_eq!(tracker.look("t", &seen(0, 2, None), |_| true), Look::default());
        tracker.acked("t", 0, 5, waiting(5));
        assert_eq!(tracker.look("t", &seen(0, 2, None), |_| true).lost, [waiting(4)], "known before, and not there");
        assert_eq!(tracker.look("t", &seen(0, 6, None), |_| true), Look::default());
    }

    #[test]
    fn an_inherited_command_lies_before_the_end() {
        let mut tracker = TakenTracker::default();
        tracker.inherited("t", waiting(9));
        assert_eq!(tracker.look("t", &seen(0, 7, Some(6)), |_| true), Look::default());
        assert_eq!(tracker.look("t", &seen(0, 9, Some(7)), |_| true).taken, [waiting(9)]);
        tracker.inherited("t", waiting(9));
        assert_eq!(tracker.look("t", &seen(0, 0, None), |_| true).lost, [waiting(9)], "an empty topic holds nothing");
    }

    #[test]
    fn an_inherited_command_of_a_topic_that_was_made_anew_is_lost() {
        for (end, committed) in [(0, None), (0, Some(563)), (6, Some(563))] {
            let mut tracker = TakenTracker::default();
            tracker.inherited("t", waiting(9));
            let look = tracker.look("t", &seen(0, end, committed), |_| true);
            assert_eq!((look.taken, look.lost), (vec![], vec![waiting(9)]), "end {end}, committed {committed:?}");
        }
        let mut tracker = TakenTracker::default();
        tracker.inherited("t", waiting(9));
        let expired = seen(7, 7, Some(7));
        assert_eq!(tracker.look("t", &expired, |_| true).taken, [waiting(9)], "the topic is the same, and old");
    }

    #[test]
    fn what_is_answered_waits_no_more() {
        let mut tracker = tracker(&[4, 5]);
        assert_eq!(tracker.look("t", &seen(0, 7, Some(5)), |_| false), Look::default());
        assert!(tracker.topics().is_empty());
    }
}
