use rdkafka::message::OwnedHeaders;
use saga_model::ids::ShardId;

use super::*;
use crate::bus::{MadeOf, Ticket};

const PARK: Duration = Duration::from_secs(300);

fn message() -> Message {
    let ticket = Ticket { shard: ShardId(0), epoch: 1, made_of: MadeOf::Again, command: None };
    Message { key: None, value: None, headers: OwnedHeaders::new(), partition: None, ticket }
}

struct Test {
    lane: Lane,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        Self { lane: Lane::new(PARK), now: Instant::now() }
    }

    /// What a new message makes leave.
    fn push(&mut self, seq: u64) -> bool {
        self.lane.push(seq, message()).is_some()
    }

    fn refused(&mut self, seqs: impl IntoIterator<Item = u64>, blame: Blame) {
        for seq in seqs {
            self.lane.refused(seq, message(), blame, self.now);
        }
    }

    /// All that leaves now.
    fn leaving(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.lane.next()).map(|(seq, _)| seq).collect()
    }

    /// Lets the time pass that the lane wants, and has it look.
    fn look(&mut self, empty: bool) {
        self.now = self.now.max(self.lane.wake_at().expect("it waits for nothing"));
        self.lane.look(self.now, empty);
    }
}

#[test]
fn messages_leave_at_once() {
    let mut test = Test::new();
    assert!(test.push(1) && test.push(2));
    assert_eq!((test.lane.wake_at(), test.leaving()), (None, vec![]));
}

#[test]
fn after_a_refusal_all_wait_and_go_in_order() {
    let mut test = Test::new();
    assert!(test.push(1) && test.push(2) && test.push(3));
    test.refused([2], Blame::Topic);
    assert!(!test.push(4));
    test.refused([1], Blame::Topic);
    test.look(false);
    assert!(test.leaving().is_empty(), "3 is still under way");
    test.look(true);
    assert_eq!(test.leaving(), [1], "one first");
    assert!(!test.push(5));
    test.lane.probe_arrived();
    assert_eq!(test.leaving(), [2, 4, 5]);
    assert!(test.push(6));
}

#[test]
fn a_topic_that_refuses_again_is_tried_more_and_more_seldom() {
    let mut test = Test::new();
    test.refused([1, 2, 3], Blame::Topic);
    let mut waits = Vec::new();
    for _ in 0..12 {
        waits.push(test.lane.wake_at().unwrap() - test.now);
        test.look(true);
        assert_eq!(test.leaving(), [1]);
        test.refused([1], Blame::Topic);
    }
    assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
    assert!(waits.is_sorted());
    assert_eq!(waits[11], Duration::from_secs(30));
    test.look(true);
    test.leaving();
    test.lane.probe_arrived();
    test.refused([4], Blame::Topic);
    assert_eq!(test.lane.wake_at().unwrap() - test.now, Duration::from_millis(100), "a success begins anew");
}

#[test]
fn what_came_back_with_a_client_goes_again_at_once() {
    let mut test = Test::new();
    test.refused([1, 2], Blame::Nobody);
    assert_eq!(test.lane.wake_at(), Some(test.now));
    test.look(true);
    assert_eq!(test.leaving(), [1]);
    test.refused([1], Blame::Nobody);
    test.look(true);
    assert_eq!(test.leaving(), [1]);
    test.lane.probe_arrived();
    assert_eq!(test.leaving(), [2]);
}

#[test]
fn of_a_refused_batch_each_is_tried_alone_and_the_culprit_put_aside() {
    let mut test = Test::new();
    test.refused([1, 2, 3], Blame::Message);
    assert!(!test.push(4) && !test.push(5));
    test.look(true);
    assert_eq!(test.leaving(), [1]);
    test.lane.probe_arrived();
    assert_eq!(test.leaving(), [2], "alone: it may be the one");
    assert_eq!(test.lane.refused(2, message(), Blame::Message, test.now), Refusal::Parked);
    assert_eq!(test.leaving(), [3]);
    test.lane.probe_arrived();
    assert_eq!(test.leaving(), [4, 5]);

    assert_eq!(test.lane.wake_at(), Some(test.now + PARK));
    test.look(false);
    assert!(!test.push(6));
    test.look(true);
    assert_eq!(test.leaving(), [2]);
    test.lane.refused(2, message(), Blame::Message, test.now);
    assert_eq!(test.leaving(), [6]);
    test.lane.probe_arrived();
    assert!(test.push(7));
}

#[test]
fn a_lane_of_which_all_is_put_aside_is_open() {
    let mut test = Test::new();
    test.refused([1], Blame::Message);
    test.look(true);
    assert_eq!(test.leaving(), [1]);
    test.lane.refused(1, message(), Blame::Message, test.now);
    assert!(test.leaving().is_empty());
    assert!(test.push(2));
}

#[test]
fn a_topic_that_is_there_again_is_tried_at_once() {
    let mut test = Test::new();
    for _ in 0..10 {
        test.refused([1], Blame::Topic);
        test.look(true);
        test.leaving();
    }
    test.refused([1], Blame::Topic);
    assert!(test.lane.wake_at().unwrap() > test.now);
    test.lane.hurry(test.now);
    assert_eq!(test.lane.wake_at(), Some(test.now));
}

#[test]
fn an_arrival_that_was_not_waited_for_changes_nothing() {
    let mut test = Test::new();
    test.refused([1, 2], Blame::Topic);
    test.lane.probe_arrived();
    assert!(test.leaving().is_empty());
}

#[test]
fn backoff_has_a_cap() {
    assert_eq!(backoff(0), Duration::from_millis(100));
    assert_eq!(backoff(1), Duration::from_millis(100));
    assert_eq!(backoff(u32::MAX), Duration::from_secs(30));
}
