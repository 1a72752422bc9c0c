//! Which commands a worker's group has taken.
//!
//! A step's time runs from the moment when its command is taken, so that neither a worker that is away nor a
//! long queue makes a wave of timeouts. A command is taken once the group's committed offset has passed it.
//! One that its topic does not hold any more (or holds under another life of the topic) is lost.

use std::collections::BTreeMap;

use saga_model::state::CommandRef;
use saga_model::{Micros, SagaId};

use crate::bus::Progress;

/// A command that waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub saga: SagaId,
    pub command: CommandRef,
    pub sent_at: Micros,
}

/// The commands of this instance that wait to be taken, by topic and partition.
#[derive(Debug, Default)]
pub struct TakenTracker {
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    partitions: BTreeMap<i32, Queue>,
    /// Sent by an owner before us: they lie before the end that we see first.
    inherited: BTreeMap<i32, Vec<Waiting>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<i64, Vec<Waiting>>,
    /// The end when it was last seen: an end that goes back is a new life of the topic.
    seen_end: i64,
}

/// What a look at the broker told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub taken: Vec<Waiting>,
    pub lost: Vec<Waiting>,
}

impl TakenTracker {
    /// The broker has the command at that offset.
    pub fn acked(&mut self, topic: &str, partition: i32, offset: i64, waiting: Waiting) {
        let queue = self.topic(topic).partitions.entry(partition).or_default();
        queue.waiting.entry(offset).or_default().push(waiting);
        queue.seen_end = queue.seen_end.max(offset + 1);
    }

    /// A former owner sent the command; it stands somewhere before the present end of the partition.
    pub fn inherited(&mut self, topic: &str, partition: i32, waiting: Waiting) {
        self.topic(topic).inherited.entry(partition).or_default().push(waiting);
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
            topic.inherited.values().any(|list| !list.is_empty())
                || topic.partitions.values().any(|queue| !queue.waiting.is_empty())
        };
        self.topics.iter().filter(|(_, topic)| waits(topic)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes note of how far the group has come. `still_waits` says of a command whether its saga still asks it.
    pub fn look(&mut self, topic: &str, progress: &[Progress], still_waits: impl Fn(&Waiting) -> bool) -> Look {
        let mut look = Look::default();
        let Some(topic) = self.topics.get_mut(topic) else { return look };
        for seen in progress {
            let queue = topic.partitions.entry(seen.partition).or_default();
            if seen.end < queue.seen_end {
                look.lost.extend(std::mem::take(&mut queue.waiting).into_values().flatten());
            }
            queue.seen_end = seen.end;
            if let Some(inherited) = topic.inherited.remove(&seen.partition) {
                queue.waiting.entry(seen.end - 1).or_default().extend(inherited);
            }
            let open = queue.waiting.split_off(&seen.committed.unwrap_or(0));
            look.taken.extend(std::mem::replace(&mut queue.waiting, open).into_values().flatten());
            let held = queue.waiting.split_off(&seen.begin);
            look.lost.extend(std::mem::replace(&mut queue.waiting, held).into_values().flatten());
            queue.waiting.retain(|_, list| {
                list.retain(&still_waits);
                !list.is_empty()
            });
        }
        look.taken.retain(&still_waits);
        look.lost.retain(&still_waits);
        look
    }

    /// When the oldest command that still waits in `topic` for the sagas that `of` names was sent.
    pub fn oldest(&self, topic: &str, of: impl Fn(SagaId) -> bool) -> Option<Micros> {
        let topic = self.topics.get(topic)?;
        let inherited = topic.inherited.values().flatten();
        let queued = topic.partitions.values().flat_map(|queue| queue.waiting.values().flatten());
        inherited.chain(queued).filter(|waiting| of(waiting.saga)).map(|waiting| waiting.sent_at).min()
    }

    /// Forgets the commands of sagas that `of` names: their shard is no longer ours.
    pub fn forget(&mut self, of: impl Fn(SagaId) -> bool) {
        for topic in self.topics.values_mut() {
            for list in topic.inherited.values_mut() {
                list.retain(|waiting| !of(waiting.saga));
            }
            for queue in topic.partitions.values_mut() {
                queue.waiting.retain(|_, list| {
                    list.retain(|waiting| !of(waiting.saga));
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
        Waiting { saga: uuid::Uuid::from_u128(n).into(), command, sent_at: Micros(n as i64) }
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
        assert_eq!(tracker.oldest("t", |_| true), Some(Micros(5)));
        assert_eq!(tracker.look("t", &seen(0, 7, Some(7)), |_| true).taken, [waiting(5), waiting(6)]);
        assert!(tracker.topics().is_empty());
    }

    #[test]
    fn what_a_topic_does_not_hold_is_lost() {
        let look = tracker(&[4, 5]).look("t", &seen(5, 7, Some(2)), |_| true);
        assert_eq!((look.taken.as_slice(), look.lost.as_slice()), (&[][..], &[waiting(4)][..]));
        let look = tracker(&[4, 5]).look("t", &seen(0, 1, None), |_| true);
        assert_eq!(look.lost, [waiting(4), waiting(5)], "the topic was made anew");
    }

    #[test]
    fn an_inherited_command_lies_before_the_end() {
        let mut tracker = TakenTracker::default();
        tracker.inherited("t", 0, waiting(9));
        assert_eq!(tracker.look("t", &seen(0, 7, Some(6)), |_| true), Look::default());
        assert_eq!(tracker.look("t", &seen(0, 9, Some(7)), |_| true).taken, [waiting(9)]);
        tracker.inherited("t", 0, waiting(9));
        assert_eq!(tracker.look("t", &seen(0, 0, None), |_| true).lost, [waiting(9)], "an empty topic holds nothing");
    }

    #[test]
    fn what_is_answered_waits_no_more() {
        let mut tracker = tracker(&[4, 5]);
        assert_eq!(tracker.look("t", &seen(0, 7, Some(5)), |_| false), Look::default());
        assert!(tracker.topics().is_empty());
    }
}
