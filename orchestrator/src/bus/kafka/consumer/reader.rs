//! The one who reads: the library's client, and how far each partition has been read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, TopicPartitionList};
use saga_model::ids::ShardId;
use service::kafka::headers_of;
use tokio::sync::Notify;

use super::Change;
use super::fetched::Fetched;
use super::given::Given;
use super::position::{Mark, Position, Verdict};
use crate::bus::Incoming;
use crate::bus::kafka::seldom::Seldom;
use crate::bus::kafka::topics::Mender;

/// The most replies that are given out at once.
const BATCH: usize = 1000;
/// How long the client may take to learn of a topic.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// For so long a new client is not given up because it brings nothing.
const PROBATION: Duration = Duration::from_secs(15);

pub(super) struct Reader {
    topic: Arc<str>,
    config: ClientConfig,
    client: Arc<StreamConsumer<Fetched>>,
    made: Instant,
    changed: Arc<Notify>,
    given: Arc<Given>,
    positions: BTreeMap<ShardId, Position>,
    /// Read while waiting, not given out yet.
    ready: VecDeque<(ShardId, Incoming)>,
    mender: Arc<Mender>,
    mending: Arc<AtomicBool>,
    lines: Seldom,
}

impl Reader {
    pub(super) fn new(
        topic: Arc<str>,
        mut config: ClientConfig,
        changed: Arc<Notify>,
        given: Arc<Given>,
        mender: Arc<Mender>,
    ) -> KafkaResult<Self> {
        config
            // That the topic is missing is told at once: it may be another one when it is back, and to look is cheap.
            .set("topic.metadata.propagation.max.ms", "0")
            .set("statistics.interval.ms", "1000");
        let context = Fetched::new(topic.clone(), changed.clone());
        let client = Arc::new(config.create_with_context(context)?);
        let (positions, ready) = (BTreeMap::new(), VecDeque::new());
        let (mending, lines) = (Arc::default(), Seldom::default());
        let made = Instant::now();
        Ok(Self { topic, config, client, made, changed, given, positions, ready, mender, mending, lines })
    }

    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Assign(shard, offset) => {
                self.ready.retain(|(of, _)| *of != shard);
                let before = self.positions.insert(shard, Position::at(offset));
                self.read_from_position(shard, before.is_some());
            }
            Change::Unassign(shard) => {
                self.ready.retain(|(of, _)| *of != shard);
                if self.positions.remove(&shard).is_some() {
                    self.stop(shard);
                }
            }
            Change::Doubt(shard, end) => {
                self.doubt(shard, Some(end));
                // Said again: a look that was under way may have spoken of the old one meanwhile.
                self.given.anew(shard);
            }
            // It takes a client some seconds to say how far it is; whoever asked before it was made knows nothing of it.
            Change::Deaf(_) if self.made.elapsed() < PROBATION => {}
            Change::Deaf(shard) => {
                tracing::warn!(topic = %self.topic, %shard, "Replies are there and do not come: the Kafka consumer is given up for a new one");
                self.renew();
            }
        }
    }

    /// What can be had without waiting.
    pub(super) fn drain(&mut self) -> Vec<(ShardId, Incoming)> {
        let client = self.client.clone();
        let mut messages = client.stream();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        // Of what one look brings, some may be nothing to give out.
        for _ in 0..2 * BATCH {
            match messages.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(message)) => self.take(message),
                Poll::Ready(None) => break,
                // It took something else out of its queue: there may be messages behind.
                Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
                Poll::Pending => {
                    // Nothing is left of what was fetched when it said how far that was.
                    for (shard, offset) in self.client.context().take().into_iter().flatten() {
                        if let Some(position) = self.positions.get_mut(&shard) {
                            position.fetched(offset);
                        }
                    }
                    break;
                }
            }
            if self.ready.len() >= BATCH {
                break;
            }
        }
        self.given.set(self.positions.iter().map(|(shard, position)| (*shard, position.given())).collect());
        Vec::from(std::mem::take(&mut self.ready))
    }

    /// Waits until there may be something.
    pub(super) async fn readable(&mut self) {
        let client = self.client.clone();
        // Between the message and its place in `ready` nothing waits: dropped before, the message stays in the client.
        let message = client.recv().await;
        self.take(message);
    }

    fn take(&mut self, message: KafkaResult<BorrowedMessage<'_>>) {
        match message {
            Ok(message) => self.message(&message),
            Err(error) => self.error(&error),
        }
    }

    fn message(&mut self, message: &BorrowedMessage<'_>) {
        let Ok(number) = u16::try_from(message.partition()) else { return };
        let shard = ShardId(number);
        // One that is ours no more had some under way.
        let Some(position) = self.positions.get_mut(&shard) else { return };
        match position.read(Mark::of(message)) {
            Verdict::Next => {}
            Verdict::BeganAgain => {
                tracing::warn!(topic = %self.topic, %shard, "Replies are read from the beginning: the topic holds the rest no more");
            }
            Verdict::Known => return,
            Verdict::Replaced => {
                tracing::warn!(topic = %self.topic, %shard, "Replies are read from the beginning: the topic was made anew");
                return self.read_from_position(shard, true);
            }
        }
        let incoming = Incoming {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers_of(message),
        };
        self.ready.push_back((shard, incoming));
    }

    fn error(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        if let KafkaError::MessageConsumptionFatal(code) = error {
            tracing::error!(%code, "The Kafka consumer is given up for a new one");
            return self.renew();
        }
        match error.rdkafka_error_code() {
            Some(
                Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId,
            ) => {
                self.warn("missing", error);
                self.mend();
                for shard in self.positions.keys().copied().collect::<Vec<_>>() {
                    self.doubt(shard, None);
                }
            }
            // Tried again by the library, for ever. That the broker is away is said by the health of the process.
            Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut) => {
                tracing::debug!(%error, "Kafka cannot be read now");
            }
            Some(_) | None => self.warn("other", error),
        }
    }

    fn warn(&self, kind: &str, error: &KafkaError) {
        if let Some(left_out) = self.lines.allows(kind) {
            tracing::warn!(topic = %self.topic, %error, left_out, "Replies cannot be read now");
        }
    }

    /// The topic may be another one; `end`: where it ends now, if that is known, which went back then. One that is
    /// certainly another one is read with a client that knows nothing of the old one, from the beginning.
    fn doubt(&mut self, shard: ShardId, end: Option<i64>) {
        let Some(position) = self.positions.get_mut(&shard) else { return };
        if end.is_some_and(|end| position.is_beyond(end) || position.begins_elsewhere()) {
            *position = Position::at(0);
            self.renew();
        } else if position.doubt() {
            self.read_from_position(shard, true);
        }
    }

    /// Has the library read a partition from where it is to be read. The others go on as they are.
    fn read_from_position(&self, shard: ShardId, assigned: bool) {
        let Some(position) = self.positions.get(&shard) else { return };
        if assigned {
            self.stop(shard);
        }
        let mut partitions = TopicPartitionList::with_capacity(1);
        let added = partitions.add_partition_offset(&self.topic, i32::from(shard.0), position.offset());
        if let Err(error) = added.and_then(|()| self.client.incremental_assign(&partitions)) {
            tracing::error!(topic = %self.topic, %shard, %error, "A reply partition cannot be assigned");
        }
    }

    fn stop(&self, shard: ShardId) {
        let mut partitions = TopicPartitionList::with_capacity(1);
        partitions.add_partition(&self.topic, i32::from(shard.0));
        if let Err(error) = self.client.incremental_unassign(&partitions) {
            // It was not assigned, which is what we want.
            tracing::debug!(topic = %self.topic, %shard, %error, "A reply partition was not assigned");
        }
    }

    /// A new client that reads what the old one read. (The library's can go deaf: of a topic that was made anew it takes
    /// for outdated what the broker says, as long as the old one had seen more changes of its leader.)
    fn renew(&mut self) {
        let context = Fetched::new(self.topic.clone(), self.changed.clone());
        match self.config.create_with_context(context) {
            Ok(client) => {
                (self.client, self.made) = (Arc::new(client), Instant::now());
                // Why it was made may be that the topic is another one.
                self.positions.values_mut().for_each(Position::renewed);
                self.positions.keys().for_each(|shard| self.read_from_position(*shard, false));
            }
            Err(error) => tracing::error!(%error, "A Kafka consumer cannot be made"),
        }
    }

    fn mend(&self) {
        if self.mending.swap(true, Ordering::Relaxed) {
            return;
        }
        let (client, mending) = (self.client.clone(), self.mending.clone());
        // The client would hear of the new topic by itself, but later. If it cannot ask now it does so then.
        let look = move |topic: &str| drop(client.client().fetch_metadata(Some(topic), LOOK_WITHIN));
        self.mender.mend(self.topic.clone(), look, move || mending.store(false, Ordering::Relaxed));
    }
}

/// Whether somebody wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
