//! Whether a consumer still hears.
//!
//! The library's can go deaf for good: of a topic that was deleted and made anew it takes for outdated what the broker says
//! of its leaders, as long as the old topic had seen more changes of them (after a restart of the broker it has). And a
//! group can be at rest with nobody assigned to anything: whoever shares the partitions out looks anew which there are,
//! finds none while the topic is deleted, and does not look again if the topic is then as it was when it came. So now and
//! then, when nothing comes, somebody looks whether there is something to hear.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

/// How long after the last look somebody looks again.
const QUIET: Duration = Duration::from_secs(5);
/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// By partition: where it is read next, and where it ends.
type Places = BTreeMap<i32, (i64, i64)>;

/// See the module.
#[derive(Default)]
pub(super) struct Hearing {
    since: Option<Instant>,
    /// Where something waited to be read at the last look.
    waited: Places,
    /// For what a consumer was given up already. A second one that does not get it either is no better: what stands
    /// there may be no message at all (transactions leave marks).
    given_up_for: Places,
    /// At the last look nobody was assigned to the topic.
    forsaken: bool,
}

impl Hearing {
    /// With a new consumer.
    pub(super) fn begins(&mut self) {
        self.since = Some(Instant::now());
        self.waited.clear();
        self.forsaken = false;
    }

    /// Nothing comes at the moment. Whether the consumer is of no more use: at two looks in a row the same waited to be
    /// read, or nobody of the group was assigned to the topic.
    pub(super) fn is_lost<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, topic: &str, group: &str) -> bool {
        if self.since.is_some_and(|since| since.elapsed() < QUIET) {
            return false;
        }
        self.since = Some(Instant::now());
        // A broker that does not answer is waited for.
        let forsaken = is_forsaken(consumer, topic, group).unwrap_or(false);
        if std::mem::replace(&mut self.forsaken, forsaken) && forsaken {
            return true;
        }
        let waits = waiting(consumer, topic).unwrap_or_default();
        self.judge(waits)
    }

    fn judge(&mut self, waits: Places) -> bool {
        let before = std::mem::replace(&mut self.waited, waits);
        let lost = self.waited.iter().any(|(partition, place)| {
            let still = before.get(partition).is_some_and(|(next, _)| *next == place.0);
            still && self.given_up_for.get(partition) != Some(place)
        });
        if lost {
            self.given_up_for = self.waited.clone();
        }
        lost
    }
}

/// The partitions that hold more than was read.
fn waiting<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> KafkaResult<Places> {
    let positions = consumer.position()?;
    let committed = consumer.committed(PATIENCE)?;
    let mut waits = Places::new();
    for element in positions.elements() {
        let partition = element.partition();
        // One without a leader keeps nobody from looking at the others.
        let Ok((begin, end)) = consumer.fetch_watermarks(topic, partition, PATIENCE) else { continue };
        let next = offset(&positions, topic, partition).or_else(|| offset(&committed, topic, partition));
        // Behind the end stands who has read a topic that is no more: it is read from its beginning.
        let next = next.filter(|next| *next <= end).unwrap_or(begin).max(begin);
        if next < end {
            waits.insert(partition, (next, end));
        }
    }
    Ok(waits)
}

/// Whether the group is at rest, the topic is there, and none of its partitions is anybody's.
fn is_forsaken<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, group: &str) -> KafkaResult<bool> {
    if consumer.assignment()?.count() > 0 {
        return Ok(false);
    }
    let groups = consumer.fetch_group_list(Some(group), PATIENCE)?;
    // Only whoever has a part of a topic has its name in what it is assigned to.
    let has_some = |assignment: &[u8]| assignment.windows(topic.len()).any(|part| part == topic.as_bytes());
    let at_rest_with_none = groups.groups().iter().any(|found| {
        found.name() == group
            && found.state() == "Stable"
            && !found.members().iter().any(|member| member.assignment().is_some_and(has_some))
    });
    if !at_rest_with_none {
        return Ok(false);
    }
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    Ok(metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty()))
}

fn offset(list: &TopicPartitionList, topic: &str, partition: i32) -> Option<i64> {
    match list.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places<const N: usize>(places: [(i32, (i64, i64)); N]) -> Places {
        places.into()
    }

    #[test]
    fn two_looks_at_the_same_and_once() {
        let mut hearing = Hearing::default();
        assert!(!hearing.judge(places([(0, (5, 7))])), "it may be on its way");
        assert!(!hearing.judge(places([(0, (7, 9)), (1, (0, 1))])), "it goes on");
        assert!(!hearing.judge(places([])));
        assert!(!hearing.judge(places([(1, (0, 1))])));
        assert!(hearing.judge(places([(1, (0, 3))])));
        hearing.begins();
        assert!(!hearing.judge(places([(1, (0, 3))])));
        assert!(!hearing.judge(places([(1, (0, 3))])), "a new consumer gets none of it either");
        assert!(hearing.judge(places([(1, (0, 4))])), "there is more");
    }
}
