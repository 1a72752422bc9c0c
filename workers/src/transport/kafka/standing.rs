//! What a member of a group holds, and how far it has come: shared by the thread that reads, the hook that the library
//! calls before partitions are taken away, and whoever marks batches as done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standing {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Partitions that are ours now, each with the number of our term in it: what was read in another term says
    /// nothing of this one. (Whoever deletes a topic and makes it anew has offsets begin anew.)
    held: BTreeMap<i32, u64>,
    terms: u64,
    marked: Marked,
    /// Of each batch that is out, oldest first: what was held when it was read.
    in_hand: VecDeque<BTreeMap<i32, u64>>,
    /// Whoever handles batches has gone: those in hand will not be finished.
    abandoned: bool,
}

/// By partition, with the term: everything before is done, and the broker has not been told.
pub(super) type Marked = BTreeMap<i32, Mark>;

/// See [`Marked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    term: u64,
    pub(super) next: i64,
}

impl State {
    fn mark(&mut self, partition: i32, new: Mark) {
        if self.held.get(&partition) == Some(&new.term) {
            let mark = self.marked.entry(partition).or_insert(new);
            mark.next = mark.next.max(new.next);
        }
    }
}

impl Standing {
    /// These partitions are ours from now on.
    pub(super) fn hold(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        for partition in partitions {
            state.terms += 1;
            let term = state.terms;
            state.held.insert(partition, term);
            state.marked.remove(&partition);
        }
    }

    /// A partition that is ours begins anew.
    pub(super) fn anew(&self, partition: i32) {
        if self.holds(partition) {
            self.hold([partition]);
        }
    }

    /// These partitions are no longer ours: marks for them are not to be committed any more.
    pub(super) fn let_go(&self, partitions: &[i32]) {
        let mut state = self.lock();
        for partition in partitions {
            state.held.remove(partition);
            state.marked.remove(partition);
        }
    }

    pub(super) fn holds(&self, partition: i32) -> bool {
        self.lock().held.contains_key(&partition)
    }

    /// The number of our term in a partition, if it is ours.
    pub(super) fn term(&self, partition: i32) -> Option<u64> {
        self.lock().held.get(&partition).copied()
    }

    /// A batch goes out.
    pub(super) fn hand_out(&self) {
        let mut state = self.lock();
        let held = state.held.clone();
        state.in_hand.push_back(held);
    }

    /// The oldest batch that is out is done, up to these offsets.
    pub(super) fn finish(&self, positions: impl IntoIterator<Item = (i32, i64)>) {
        let mut state = self.lock();
        let held = state.in_hand.pop_front().unwrap_or_default();
        for (partition, next) in positions {
            if let Some(term) = held.get(&partition) {
                state.mark(partition, Mark { term: *term, next });
            }
        }
        self.changed.notify_all();
    }

    /// Nobody will finish what is in hand.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }

    /// Waits until nothing is in hand; not for ever, for whoever else is to have the partitions waits too.
    pub(super) fn wait_until_idle(&self, at_most: Duration) {
        let busy = |state: &mut State| !state.in_hand.is_empty() && !state.abandoned;
        let (_state, timeout) =
            self.changed.wait_timeout_while(self.lock(), at_most, busy).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            tracing::warn!("Partitions were taken away while their commands were worked on; they come again elsewhere");
        }
    }

    /// Takes the marks that are to be committed.
    pub(super) fn take_marks(&self) -> Marked {
        std::mem::take(&mut self.lock().marked)
    }

    /// Puts marks back that could not be committed.
    pub(super) fn put_back(&self, marks: Marked) {
        let mut state = self.lock();
        for (partition, mark) in marks {
            state.mark(partition, mark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(standing: &Standing) -> Vec<(i32, i64)> {
        standing.take_marks().into_iter().map(|(partition, mark)| (partition, mark.next)).collect()
    }

    #[test]
    fn marks_are_for_what_is_held() {
        let standing = Standing::default();
        standing.hold([0, 1]);
        standing.hand_out();
        standing.finish([(0, 5), (1, 7), (2, 9)]);
        standing.hand_out();
        standing.finish([(0, 4)]);
        standing.let_go(&[1]);
        assert_eq!(taken(&standing), [(0, 5)]);
        assert_eq!(taken(&standing), []);
        standing.hand_out();
        standing.finish([(0, 5)]);
        let marks = standing.take_marks();
        standing.put_back(marks);
        standing.hand_out();
        standing.finish([(0, 6), (1, 8)]);
        assert_eq!(taken(&standing), [(0, 6)]);
    }

    /// The topic was deleted and made anew meanwhile: its offset 500 is of another message, or of none.
    #[test]
    fn what_was_read_before_a_partition_was_taken_away_is_not_marked_after_it_came_back() {
        let standing = Standing::default();
        standing.hold([0, 1]);
        standing.hand_out();
        standing.finish([(0, 500), (1, 3)]);
        let not_committed = standing.take_marks();
        standing.hand_out();
        standing.let_go(&[0]);
        standing.hold([0]);
        standing.put_back(not_committed);
        standing.finish([(0, 510), (1, 4)]);
        assert_eq!(taken(&standing), [(1, 4)]);
        standing.hand_out();
        standing.finish([(0, 2)]);
        assert_eq!(taken(&standing), [(0, 2)]);
    }

    /// Nobody took it away, but it begins anew.
    #[test]
    fn a_partition_that_begins_anew_has_no_marks() {
        let standing = Standing::default();
        standing.hold([0]);
        standing.hand_out();
        standing.finish([(0, 500)]);
        standing.anew(0);
        assert_eq!(taken(&standing), []);
        standing.anew(1);
        assert!(standing.holds(0) && !standing.holds(1));
    }

    #[test]
    fn whoever_takes_partitions_away_waits_for_what_is_in_hand() {
        let standing = std::sync::Arc::new(Standing::default());
        standing.hold([0]);
        standing.hand_out();
        let waiting = std::sync::Arc::clone(&standing);
        let waits = std::thread::spawn(move || {
            waiting.wait_until_idle(Duration::from_secs(60));
            waiting.take_marks()
        });
        standing.finish([(0, 3)]);
        assert_eq!(waits.join().unwrap().get(&0).map(|mark| mark.next), Some(3));
        standing.hand_out();
        standing.abandon();
        standing.wait_until_idle(Duration::from_secs(60));
    }
}
