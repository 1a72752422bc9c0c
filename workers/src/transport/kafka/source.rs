//! A member of a consumer group, on a thread of its own.
//!
//! A batch is taken when the worker asks for one, so that it holds whatever has come together meanwhile. While the
//! worker is at it, the thread keeps the member alive: it commits what is marked, and if that takes longer it pauses
//! the partitions and goes on polling, so that it hears when they are taken away. Before they go, what is in hand is
//! waited for and committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, TopicPartitionList};
use service::kafka::{client_error, group_consumer, headers_of};
use tokio::sync::{mpsc, watch};

use super::hearing::Hearing;
use super::hooks::{Hooks, list_of};
use super::standing::Standing;
use super::{Cluster, WrongCluster};
use crate::transport::{Delivery, MAX_BATCH, Marks, Position, Source};

/// How often marks are committed, and how long the thread sleeps at most.
const BEAT: Duration = Duration::from_millis(100);
/// A worker that is busy for so long is polled for beside its work.
const LONG_WORK: Duration = Duration::from_millis(500);
/// How long to wait before a consumer that broke is made anew.
const ANEW: Duration = Duration::from_secs(1);

/// The worker's end.
pub struct KafkaSource {
    asks: SyncSender<()>,
    asked: bool,
    batches: mpsc::Receiver<Vec<Delivery>>,
    standing: Arc<Standing>,
    joined: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// Joins `group` to read `topic`; both named without the prefix of the cluster.
    ///
    /// # Errors
    /// If the settings make no consumer. A broker that is away is waited for.
    pub fn join(cluster: &Cluster, topic: &'static str, group: &str) -> Result<Self, WrongCluster> {
        let (asks, asked) = sync_channel(1);
        let (hands_out, batches) = mpsc::channel(1);
        let (says_joined, joined) = watch::channel(false);
        let standing = Arc::new(Standing::default());
        let group = cluster.prefix.full(group);
        let member = Member {
            config: group_consumer(&cluster.brokers, &cluster.client_id, &group),
            topic: Arc::from(topic),
            full_topic: cluster.prefix.full(topic),
            full_group: group.clone(),
            standing: Arc::clone(&standing),
            joined: says_joined,
            asked,
            hands_out,
        };
        let consumer = member.consumer()?;
        let thread = std::thread::Builder::new().name(group);
        let thread = thread
            .spawn(move || member.run(consumer))
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for the consumer: {error}")))?;
        Ok(Self { asks, asked: false, batches, standing, joined, thread: Some(thread) })
    }

    /// Turns true once the group has let this member in (it may be without partitions, if there are more members).
    pub fn joined(&self) -> watch::Receiver<bool> {
        self.joined.clone()
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn next(&mut self) -> Option<Vec<Delivery>> {
        if !self.asked {
            match self.asks.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => self.asked = true,
                Err(TrySendError::Disconnected(())) => return None,
            }
        }
        let batch = self.batches.recv().await;
        self.asked = false;
        batch
    }

    fn marks(&self) -> Arc<dyn Marks> {
        Arc::new(KafkaMarks(Arc::clone(&self.standing)))
    }

    async fn close(mut self) {
        self.standing.abandon();
        // The thread ends when nobody can ask it any more; it commits what is marked and leaves the group.
        let Self { asks, batches, thread, .. } = &mut self;
        batches.close();
        *asks = sync_channel(1).0;
        if let Some(thread) = thread.take() {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("The thread of a consumer broke");
            }
        }
    }
}

struct KafkaMarks(Arc<Standing>);

#[async_trait]
impl Marks for KafkaMarks {
    async fn done(&self, positions: Vec<Position>) {
        self.0.finish(positions.into_iter().map(|position| (position.partition, position.next)));
    }
}

/// The thread's end.
struct Member {
    config: ClientConfig,
    topic: Arc<str>,
    full_topic: String,
    full_group: String,
    standing: Arc<Standing>,
    joined: watch::Sender<bool>,
    asked: Receiver<()>,
    hands_out: mpsc::Sender<Vec<Delivery>>,
}

/// Why the thread stops reading with a consumer.
enum End {
    /// The worker has gone.
    Stopped,
    /// The consumer is of no more use.
    Broken,
}

impl Member {
    fn consumer(&self) -> KafkaResult<BaseConsumer<Hooks>> {
        let hooks =
            Hooks { topic: self.full_topic.clone(), standing: Arc::clone(&self.standing), joined: self.joined.clone() };
        let consumer: BaseConsumer<Hooks> = self.config.create_with_context(hooks)?;
        consumer.subscribe(&[&self.full_topic])?;
        Ok(consumer)
    }

    fn run(self, mut consumer: BaseConsumer<Hooks>) {
        let mut carried = Carried::default();
        loop {
            match self.read(&consumer, &mut carried) {
                End::Stopped => return, // dropping the consumer takes the road of a partition that is taken away
                End::Broken => {}
            }
            drop(consumer);
            consumer = loop {
                std::thread::park_timeout(ANEW);
                match self.consumer() {
                    Ok(consumer) => break consumer,
                    Err(error) => {
                        tracing::error!(topic = &*self.topic, %error, "A consumer cannot be made; trying again")
                    }
                }
            };
        }
    }

    fn read(&self, consumer: &BaseConsumer<Hooks>, carried: &mut Carried) -> End {
        carried.hearing.begins();
        let mut reading = Reading {
            carried,
            member: self,
            consumer,
            early: VecDeque::new(),
            read: BTreeMap::new(),
            committed: Instant::now(),
        };
        loop {
            if !reading.carried.asked
                && let Err(end) = reading.wait_until_asked()
            {
                return end;
            }
            reading.carried.asked = true;
            let batch = match reading.collect() {
                Ok(batch) => batch,
                Err(end) => return end,
            };
            reading.carried.asked = false;
            self.standing.hand_out();
            if self.hands_out.blocking_send(batch).is_err() {
                return End::Stopped;
            }
        }
    }
}

/// What outlives a consumer.
#[derive(Default)]
struct Carried {
    /// The worker waits for a batch.
    asked: bool,
    hearing: Hearing,
}

/// Reading with one consumer.
struct Reading<'a> {
    carried: &'a mut Carried,
    member: &'a Member,
    consumer: &'a BaseConsumer<Hooks>,
    /// Messages that came before anybody asked for them, with the term in their partition.
    early: VecDeque<(Option<u64>, Delivery)>,
    /// The last offset taken into a batch, by partition.
    read: BTreeMap<i32, i64>,
    committed: Instant,
}

impl Reading<'_> {
    /// Keeps the member alive until the worker asks for a batch.
    fn wait_until_asked(&mut self) -> Result<(), End> {
        let (began, mut paused) = (Instant::now(), false);
        // The worker has just been given a batch: this costs it nothing.
        self.commit_if_due();
        loop {
            match self.member.asked.recv_timeout(BEAT) {
                Ok(()) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(End::Stopped),
                Err(RecvTimeoutError::Timeout) => self.commit_if_due(),
            }
            if began.elapsed() >= LONG_WORK {
                // Again each time: partitions that were given to us meanwhile are not paused.
                self.on_all(|consumer, held| consumer.pause(held));
                paused = true;
                if let Some(message) = self.poll(Duration::ZERO)? {
                    self.early.push_back((self.member.standing.term(message.partition), message));
                }
            }
        }
        if paused {
            self.on_all(|consumer, held| consumer.resume(held));
        }
        Ok(())
    }

    /// Waits for a message, and takes all that is there with it.
    fn collect(&mut self) -> Result<Vec<Delivery>, End> {
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH {
            let patience = if batch.is_empty() { BEAT } else { Duration::ZERO };
            match self.next(patience)? {
                Some(message) => {
                    if let Some(message) = self.take_up(&mut batch, message) {
                        self.early.push_front((self.member.standing.term(message.partition), message));
                        break;
                    }
                }
                None if !batch.is_empty() => break,
                None => {
                    self.commit_if_due();
                    let Member { full_topic, full_group, .. } = self.member;
                    if self.carried.hearing.is_lost(self.consumer, full_topic, full_group) {
                        tracing::warn!(
                            topic = &*self.member.topic,
                            "Messages are not read that could be: the Kafka consumer is given up for a new one"
                        );
                        return Err(End::Broken);
                    }
                    if self.member.hands_out.is_closed() {
                        return Err(End::Stopped);
                    }
                }
            }
        }
        // What was taken away between reading and handing out is read by somebody else.
        batch.retain(|message| self.member.standing.holds(message.partition));
        if batch.is_empty() { self.collect() } else { Ok(batch) }
    }

    fn next(&mut self, patience: Duration) -> Result<Option<Delivery>, End> {
        while let Some((term, message)) = self.early.pop_front() {
            // What was read in an earlier term comes again, here or elsewhere.
            if term == self.member.standing.term(message.partition) {
                return Ok(Some(message));
            }
        }
        self.poll(patience)
    }

    /// Puts a message into the batch, or gives it back if it belongs to the next one: a partition whose offsets go back
    /// begins anew, and what was read before says nothing of it.
    fn take_up(&mut self, batch: &mut Vec<Delivery>, message: Delivery) -> Option<Delivery> {
        let (partition, offset) = (message.partition, message.offset);
        if self.read.get(&partition).is_some_and(|read| offset <= *read) {
            if batch.iter().any(|before| before.partition == partition) {
                return Some(message);
            }
            self.member.standing.anew(partition);
        }
        self.read.insert(partition, offset);
        batch.push(message);
        None
    }

    fn poll(&self, patience: Duration) -> Result<Option<Delivery>, End> {
        match self.consumer.poll(patience) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(self.delivery(&message))),
            Some(Err(error)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                    tracing::error!(topic = &*self.member.topic, %error, "A consumer is given up for a new one");
                    return Err(End::Broken);
                }
                client_error(&error, "while reading");
                Ok(None)
            }
        }
    }

    fn delivery(&self, message: &BorrowedMessage<'_>) -> Delivery {
        Delivery {
            topic: Arc::clone(&self.member.topic),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers_of(message),
        }
    }

    /// Commits what is marked, if it is time, and waits for the broker's word: an answer that nobody waits for gets lost
    /// while the group is being balanced, and the last offsets of a quiet topic with it.
    fn commit_if_due(&mut self) {
        if self.committed.elapsed() < BEAT {
            return;
        }
        let marks = self.member.standing.take_marks();
        if !marks.is_empty() {
            let list = list_of(&self.member.full_topic, &marks);
            if let Err(error) = list.and_then(|list| self.consumer.commit(&list, CommitMode::Sync)) {
                tracing::debug!(%error, "Offsets could not be committed yet");
                self.member.standing.put_back(marks);
            }
        }
        self.committed = Instant::now();
    }

    fn on_all(&self, what: impl Fn(&BaseConsumer<Hooks>, &TopicPartitionList) -> KafkaResult<()>) {
        let done = self.consumer.assignment().and_then(|held| what(self.consumer, &held));
        if let Err(error) = done {
            tracing::warn!(%error, "Partitions could not be paused or resumed");
        }
    }
}
