//! What a member of a group holds, and how far it has come: shared by the thread that reads, the hook that the library
//! calls before partitions are taken away, and whoever marks batches as done.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Partitions that are ours now.
    held: BTreeSet<i32>,
    /// By partition: everything before is done, and the broker has not been told.
    marked: BTreeMap<i32, i64>,
    handed_out: u64,
    finished: u64,
    /// Whoever handles batches has gone: those in hand will not be finished.
    abandoned: bool,
}

impl Standing {
    pub(super) fn hold(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        state.held.extend(partitions);
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
        self.lock().held.contains(&partition)
    }

    /// A batch goes out.
    pub(super) fn hand_out(&self) {
        self.lock().handed_out += 1;
    }

    /// A batch is done up to these offsets.
    pub(super) fn finish(&self, positions: impl IntoIterator<Item = (i32, i64)>) {
        let mut state = self.lock();
        state.finished += 1;
        for (partition, next) in positions {
            if state.held.contains(&partition) {
                let mark = state.marked.entry(partition).or_insert(next);
                *mark = next.max(*mark);
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
        let busy = |state: &mut State| state.finished < state.handed_out && !state.abandoned;
        let (_state, timeout) =
            self.changed.wait_timeout_while(self.lock(), at_most, busy).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            tracing::warn!("Partitions were taken away while their commands were worked on; they come again elsewhere");
        }
    }

    /// Takes the marks that are to be committed.
    pub(super) fn take_marks(&self) -> BTreeMap<i32, i64> {
        std::mem::take(&mut self.lock().marked)
    }

    /// Puts marks back that could not be committed.
    pub(super) fn put_back(&self, marks: BTreeMap<i32, i64>) {
        let mut state = self.lock();
        for (partition, next) in marks {
            if state.held.contains(&partition) {
                let mark = state.marked.entry(partition).or_insert(next);
                *mark = next.max(*mark);
            }
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

    #[test]
    fn marks_are_for_what_is_held() {
        let standing = Standing::default();
        standing.hold([0, 1]);
        standing.hand_out();
        standing.finish([(0, 5), (1, 7), (2, 9)]);
        standing.hand_out();
        standing.finish([(0, 4)]);
        standing.let_go(&[1]);
        assert_eq!(standing.take_marks(), BTreeMap::from([(0, 5)]));
        assert_eq!(standing.take_marks(), BTreeMap::new());
        standing.put_back(BTreeMap::from([(0, 5), (1, 7)]));
        standing.finish([(0, 6), (1, 8)]);
        assert_eq!(standing.take_marks(), BTreeMap::from([(0, 6)]));
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
        assert_eq!(waits.join().unwrap(), BTreeMap::from([(0, 3)]));
        standing.hand_out();
        standing.abandon();
        standing.wait_until_idle(Duration::from_secs(60));
    }
}
