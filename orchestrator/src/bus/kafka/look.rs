//! Looking at the broker: where partitions end, how far groups have come. The library's questions block, so a
//! thread of its own asks them; those that wait are asked together, which also bounds how long they wait.

mod progress;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use self::progress::Groups;
use super::seldom::Voice;
use crate::bus::{BusError, Progress};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// After how long a broker is asked that did not know yet.
const AGAIN: Duration = Duration::from_millis(50);
/// How often the clients' own news are listened to, so that they do not pile up.
const LISTEN: Duration = Duration::from_secs(1);

pub(super) type Client = BaseConsumer<Voice>;

/// Somebody who can be asked.
pub(super) struct Look(Sender<Question>);

enum Question {
    End { topic: Arc<str>, partition: i32, answer: oneshot::Sender<Result<i64, BusError>> },
    Progress { topic: String, group: String, answer: oneshot::Sender<Result<Vec<Progress>, BusError>> },
    Ping { topic: Arc<str>, answer: oneshot::Sender<Result<(), BusError>> },
}

impl Look {
    /// `config` is a consumer's, whose group does not matter.
    ///
    /// # Errors
    /// If the settings are no valid ones, or the system has no thread left. (A broker that is away is no error here.)
    pub(super) fn start(name: &str, config: ClientConfig) -> Result<Self, BusError> {
        let client: Client = config.create_with_context(Voice).map_err(error)?;
        let (sender, questions) = mpsc::channel();
        let work = move || Looker { client, groups: Groups::new(config), questions }.run();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map_err(|error| BusError(error.to_string()))?;
        Ok(Self(sender))
    }

    /// The offset that the next message of a partition gets.
    pub(super) async fn end(&self, topic: Arc<str>, partition: i32) -> Result<i64, BusError> {
        self.ask(|answer| Question::End { topic, partition, answer }).await
    }

    /// How far a group has come in a topic.
    pub(super) async fn progress(&self, topic: String, group: String) -> Result<Vec<Progress>, BusError> {
        self.ask(|answer| Question::Progress { topic, group, answer }).await
    }

    /// Whether the broker says anything of that topic.
    pub(super) async fn ping(&self, topic: Arc<str>) -> Result<(), BusError> {
        self.ask(|answer| Question::Ping { topic, answer }).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Question,
    ) -> Result<T, BusError> {
        let gone = || BusError("the thread that asks it has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.0.send(question(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

struct Looker {
    client: Client,
    groups: Groups,
    questions: Receiver<Question>,
}

impl Looker {
    /// Answers until nobody can ask any more.
    fn run(mut self) {
        loop {
            let first = match self.questions.recv_timeout(LISTEN) {
                Ok(question) => Some(question),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            listen(&self.client);
            self.groups.listen();
            let questions: Vec<Question> = first.into_iter().chain(self.questions.try_iter()).collect();
            self.answer(questions);
        }
    }

    /// Nobody minds if who asked waits no more.
    fn answer(&mut self, questions: Vec<Question>) {
        let mut ends = Vec::new();
        let mut pings = Vec::new();
        for question in questions {
            match question {
                Question::End { topic, partition, answer } => ends.push((topic, partition, answer)),
                Question::Ping { topic, answer } => pings.push((topic, answer)),
                Question::Progress { topic, group, answer } => {
                    let progress = self.groups.progress(&self.client, &topic, &group).map_err(error);
                    let _unheard = answer.send(progress);
                }
            }
        }
        if !ends.is_empty() {
            let wanted: Vec<_> = ends.iter().map(|(topic, partition, _)| (topic.as_ref(), *partition)).collect();
            let found = offsets(&self.client, &wanted, Offset::End);
            for (topic, partition, answer) in ends {
                let end = found.clone().and_then(|found| offset_in(&found, &topic, partition)).map_err(error);
                let _unheard = answer.send(end);
            }
        }
        if let Some((topic, _)) = pings.first() {
            let pong = self.client.fetch_metadata(Some(topic), PATIENCE).map(drop).map_err(error);
            for (_, answer) in pings {
                let _unheard = answer.send(pong.clone());
            }
        }
    }
}

/// Where partitions begin or end, in one request to each broker.
fn offsets(client: &Client, partitions: &[(&str, i32)], at: Offset) -> KafkaResult<TopicPartitionList> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // Asked twice for one, the library refuses.
            if wanted.find_partition(topic, *partition).is_none() {
                // The broker takes the two ends as if they were times.
                wanted.add_partition_offset(topic, *partition, at)?;
            }
        }
        let found = client.offsets_for_times(wanted, until.saturating_duration_since(Instant::now()));
        // The library looks for the new leader, but does not ask it by itself.
        let moved = match &found {
            Ok(found) => found.elements().iter().any(|found| found.error().is_err_and(|error| has_moved(&error))),
            Err(error) => has_moved(error),
        };
        if !moved || Instant::now() + AGAIN >= until {
            return found;
        }
        #[expect(clippy::disallowed_methods, reason = "this thread is our own, and asks nobody else meanwhile")]
        std::thread::sleep(AGAIN);
    }
}

/// Whether the partition is led by another broker than the one that was asked, or by none at the moment.
fn has_moved(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition | Code::LeaderNotAvailable | Code::UnknownLeaderEpoch | Code::FencedLeaderEpoch
        )
    )
}

fn offset_in(list: &TopicPartitionList, topic: &str, partition: i32) -> KafkaResult<i64> {
    let found = list.find_partition(topic, partition);
    let found = found.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
    found.error()?;
    match found.offset() {
        Offset::Offset(offset) => Ok(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => {
            Err(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))
        }
    }
}

/// Takes a client's news, which nobody else does: its context logs them.
fn listen(client: &Client) {
    while client.poll(Duration::ZERO).is_some() {}
}

fn error(error: KafkaError) -> BusError {
    BusError(error.to_string())
}
