//! Reading replies: the partitions of the shards that this instance owns, assigned by hand.

mod fetched;
mod given;
mod position;
mod reader;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use saga_model::ids::ShardId;
use tokio::sync::Notify;

use self::given::Given;
use self::reader::Reader;
use super::topics::Mender;
use crate::bus::{BusError, Incoming, NoReplyEnd};

/// How long reading may take to come to the end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Consumer {
    /// What the reader has to do before it goes on.
    changes: Mutex<Vec<Change>>,
    changed: Arc<Notify>,
    given: Arc<Given>,
    questions: AtomicU64,
    /// The ends that the broker named, with the number of the question, to see one that goes back. Where reading begins
    /// counts as one that was named just before; and whoever has read so far need not have asked.
    ends: Mutex<BTreeMap<ShardId, (u64, i64)>>,
    /// Held by the one task that reads.
    reader: tokio::sync::Mutex<Reader>,
}

/// A question where a partition ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    shard: ShardId,
    /// They are answered in the order of their numbers.
    number: u64,
    /// Behind which offset was read when it was asked.
    read: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Assign(ShardId, i64),
    Unassign(ShardId),
    /// The topic is another one now, and ends there.
    Doubt(ShardId, i64),
    /// The broker holds more, and none of it comes.
    Deaf(ShardId),
}

impl Change {
    /// Whose replies, as far as they are read already, are not wanted any more.
    fn sets_aside(self) -> Option<ShardId> {
        match self {
            Self::Assign(shard, _) | Self::Unassign(shard) => Some(shard),
            Self::Doubt(..) | Self::Deaf(_) => None,
        }
    }
}

impl Consumer {
    /// A reader of `topic` that reads nothing yet. Within a runtime only.
    ///
    /// # Errors
    /// If the settings are no valid ones. (A broker that is away is no error here.)
    pub(super) fn new(topic: Arc<str>, config: ClientConfig, mender: Arc<Mender>) -> Result<Self, BusError> {
        let (changed, given) = (Arc::new(Notify::new()), Arc::new(Given::default()));
        let reader = Reader::new(topic, config, changed.clone(), given.clone(), mender);
        let reader = reader.map_err(|error| BusError(error.to_string()))?;
        Ok(Self {
            changes: Mutex::default(),
            changed,
            given,
            questions: AtomicU64::new(1),
            ends: Mutex::default(),
            reader: tokio::sync::Mutex::new(reader),
        })
    }

    pub(super) fn assign(&self, shard: ShardId, offset: i64) {
        self.change(Change::Assign(shard, offset));
        // Only then: who finds that the end is before that must not have its doubt overtaken by the assignment.
        let asked = self.questions.load(Ordering::Relaxed) - 1;
        lock(&self.ends).insert(shard, (asked, offset));
    }

    pub(super) fn unassign(&self, shard: ShardId) {
        self.change(Change::Unassign(shard));
    }

    /// Before somebody asks the broker where a partition ends.
    pub(super) fn question(&self, shard: ShardId) -> Question {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        Question { shard, number, read: self.given.next(shard).unwrap_or(0) }
    }

    /// The broker says that the partition ends at `end`. Waits until what is before has been given out, and returns
    /// behind which offset that was.
    ///
    /// # Errors
    /// If it takes too long, or if the partition ended further on before.
    pub(super) async fn read_to(&self, question: Question, end: i64) -> Result<i64, NoReplyEnd> {
        let shard = question.shard;
        if self.goes_back(question, end) {
            self.given.anew(shard);
            self.change(Change::Doubt(shard, end));
            return Err(NoReplyEnd::MadeAnew { end });
        }
        let stood_at = self.given.next(shard);
        let given = self.given.all_before(shard, end, PATIENCE).await;
        if given.is_none() && stood_at.is_some() && self.given.next(shard) == stood_at {
            self.change(Change::Deaf(shard));
        }
        let late = || BusError(format!("the replies of shard {shard} were not read to their end in time"));
        given.ok_or_else(|| late().into())
    }

    fn goes_back(&self, Question { shard, number, read }: Question, end: i64) -> bool {
        let mut ends = lock(&self.ends);
        match ends.get(&shard) {
            // Asked before what we know: it may be of the time before, too.
            Some((last, _)) if number <= *last => false,
            known => {
                let before = known.map_or(0, |(_, before)| *before).max(read);
                ends.insert(shard, (number, end));
                end < before
            }
        }
    }

    /// The next replies, at least one. Dropping the future loses nothing.
    pub(super) async fn next(&self) -> Vec<(ShardId, Incoming)> {
        let mut reader = self.reader.lock().await;
        loop {
            for change in self.take_changes() {
                reader.change(change);
            }
            let mut batch = reader.drain();
            // What was assigned otherwise meanwhile is not given out any more.
            let changes = self.take_changes();
            batch.retain(|(shard, _)| !changes.iter().any(|change| change.sets_aside() == Some(*shard)));
            for change in changes {
                reader.change(change);
            }
            if !batch.is_empty() {
                return batch;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = reader.readable() => {}
            }
        }
    }

    fn change(&self, change: Change) {
        lock(&self.changes).push(change);
        self.changed.notify_one();
    }

    fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }
}

/// What these locks guard is whole after each statement, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use saga_model::ids::ShardCount;
    use service::kafka::{Admin, assigned_consumer};
    use service::settings::TopicPrefix;

    use super::*;

    const SHARD: ShardId = ShardId(3);

    /// A reader of a broker that says nothing, as one goes deaf; changes are made as they come.
    fn deaf() -> Arc<Consumer> {
        let nobody = "127.0.0.1:1".parse().expect("an address");
        let admin = Admin::new(&nobody, "test").expect("a client");
        let runtime = tokio::runtime::Handle::current();
        let mender = Mender::new(admin, &TopicPrefix::default(), ShardCount::new(4).expect("four"), None, runtime);
        let consumer = Consumer::new("saga.replies".into(), assigned_consumer(&nobody, "test"), Arc::new(mender));
        let consumer = Arc::new(consumer.expect("a client"));
        let reading = consumer.clone();
        tokio::spawn(async move { reading.next().await });
        consumer
    }

    async fn given(consumer: &Consumer, next: Option<i64>) {
        while consumer.given.next(SHARD) != next {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_behind_the_end_is_of_another_topic_and_nothing_before_it_counts_as_read() {
        let consumer = deaf();
        let before = consumer.question(SHARD);
        consumer.assign(SHARD, 1859);
        given(&consumer, Some(0)).await;
        // What the library says of a partition that it has not read: that it stands where it was told to begin.
        let told = given::Shard { next: 0, all_before: 1859 };
        consumer.given.set([(SHARD, told)].into());
        assert_eq!(consumer.read_to(before, 133).await.ok(), Some(0), "it was asked before the shard was ours");
        let error = consumer.read_to(consumer.question(SHARD), 133).await.expect_err("another topic");
        assert!(error.to_string().contains("made anew"), "{error}");
        let error = consumer.read_to(consumer.question(SHARD), 133).await.expect_err("nothing was read yet");
        assert!(error.to_string().contains("in time"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_of_a_topic_is_not_the_end_of_another_one() {
        let consumer = deaf();
        consumer.assign(SHARD, 0);
        given(&consumer, Some(0)).await;
        // It has read on since, and nobody has asked where it ends.
        consumer.given.set([(SHARD, given::Shard { next: 1000, all_before: 1000 })].into());
        let error = consumer.read_to(consumer.question(SHARD), 50).await.expect_err("another topic");
        assert!(error.to_string().contains("made anew"), "{error}");
        let error = consumer.read_to(consumer.question(SHARD), 50).await.expect_err("nothing was read yet");
        assert!(error.to_string().contains("in time"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_at_the_end_is_believed() {
        let consumer = deaf();
        consumer.assign(SHARD, 133);
        given(&consumer, Some(0)).await;
        consumer.given.set([(SHARD, given::Shard { next: 0, all_before: 133 })].into());
        assert_eq!(consumer.read_to(consumer.question(SHARD), 133).await.ok(), Some(0));
    }
}
