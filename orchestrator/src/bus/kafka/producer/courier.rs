//! The thread that hands the messages of one class to the client library, in order, until the broker has each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};

use super::lane::{Blame, Lane, Refusal};
use super::link::Link;
use super::message::{Gauge, Handed, Message};
use crate::bus::Outgoing;
use crate::bus::kafka::seldom::Seldom;
use crate::bus::kafka::topics::Mender;

/// What the courier is told.
pub(super) enum Note {
    Send(Vec<Outgoing>),
    Refused {
        topic: Arc<str>,
        seq: u64,
        message: Message,
        code: RDKafkaErrorCode,
    },
    ProbeArrived(Arc<str>),
    /// A missing topic was looked after.
    Mended(Arc<str>),
    Stop,
}

/// How often a lane is looked at that waits for reports.
const SOON: Duration = Duration::from_millis(20);
/// How long a client may take to learn of a topic.
const LOOK_WITHIN: Duration = Duration::from_secs(3);

pub(super) struct Courier {
    notes: Receiver<Note>,
    /// For those who help and report back.
    own_notes: Sender<Note>,
    link: Link,
    lanes: HashMap<Arc<str>, (Arc<Gauge>, Lane)>,
    next_seq: u64,
    park_for: Duration,
    mender: Arc<Mender>,
    /// Topics that are being looked after.
    mending: HashSet<Arc<str>>,
    lines: Seldom,
}

impl Courier {
    pub(super) fn new(
        (own_notes, notes): (Sender<Note>, Receiver<Note>),
        link: Link,
        park_for: Duration,
        mender: Arc<Mender>,
    ) -> Self {
        let (lanes, mending, lines) = (HashMap::new(), HashSet::new(), Seldom::default());
        Self { notes, own_notes, link, lanes, next_seq: 1, park_for, mender, mending, lines }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            let note = match self.wake_at() {
                None => self.notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.notes.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let stop = match note {
                Ok(note) => self.take(note) || self.take_all(),
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if stop {
                return;
            }
            self.look();
        }
    }

    /// Takes what has been noted so far; whether to stop.
    fn take_all(&mut self) -> bool {
        while let Ok(note) = self.notes.try_recv() {
            if self.take(note) {
                return true;
            }
        }
        false
    }

    fn take(&mut self, note: Note) -> bool {
        match note {
            Note::Send(messages) => {
                for message in messages {
                    self.send(message);
                }
            }
            Note::Refused { topic, seq, message, code } => {
                self.refused(&topic, seq, message, code);
                self.pump(&topic);
            }
            Note::ProbeArrived(topic) => {
                if let Some((_, lane)) = self.lanes.get_mut(&topic) {
                    lane.probe_arrived();
                }
                self.pump(&topic);
            }
            Note::Mended(topic) => {
                self.mending.remove(&topic);
                if let Some((_, lane)) = self.lanes.get_mut(&topic) {
                    lane.hurry(Instant::now());
                }
            }
            Note::Stop => return true,
        }
        false
    }

    fn send(&mut self, outgoing: Outgoing) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let (gauge, lane) = match self.lanes.get_mut(&outgoing.topic) {
            Some(lane) => lane,
            None => {
                let topic = outgoing.topic.clone();
                self.lanes.entry(topic.clone()).or_insert((Gauge::new(topic), Lane::new(self.park_for)))
            }
        };
        if !self.link.is_up() {
            lane.hold(seq, Message::new(outgoing));
        } else if let Some(message) = lane.push(seq, Message::new(outgoing)) {
            let gauge = gauge.clone();
            self.hand_over(&gauge, seq, message);
        }
    }

    /// Hands over what a lane lets go.
    fn pump(&mut self, topic: &str) {
        while self.link.is_up()
            && let Some((gauge, lane)) = self.lanes.get_mut(topic)
        {
            let next = lane.next();
            gauge.probing.store(lane.is_probing(), Ordering::Release);
            let Some((seq, message)) = next else { return };
            let gauge = gauge.clone();
            self.hand_over(&gauge, seq, message);
        }
    }

    fn hand_over(&mut self, gauge: &Arc<Gauge>, seq: u64, message: Message) {
        let Some(producer) = self.link.producer() else { return self.hold(gauge, seq, message) };
        let Message { key, value, headers, partition, ticket } = message;
        let handed = Box::new(Handed { seq, ticket, partition, gauge: gauge.clone() });
        let mut record = BaseRecord::with_opaque_to(&gauge.topic, handed).headers(headers);
        (record.key, record.payload, record.partition) = (key.as_deref(), value.as_deref(), partition);
        gauge.under_way.fetch_add(1, Ordering::Relaxed);
        if let Err((error, record)) = producer.send(record) {
            gauge.under_way.fetch_sub(1, Ordering::Relaxed);
            let headers = record.headers.unwrap_or_default();
            let message = Message { key, value, headers, partition, ticket };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let topic = gauge.topic.clone();
            self.refused(&topic, seq, message, code);
        }
    }

    fn hold(&mut self, gauge: &Arc<Gauge>, seq: u64, message: Message) {
        if let Some((_, lane)) = self.lanes.get_mut(&gauge.topic) {
            lane.hold(seq, message);
        }
    }

    fn refused(&mut self, topic: &Arc<str>, seq: u64, message: Message, code: RDKafkaErrorCode) {
        let Some((_, lane)) = self.lanes.get_mut(topic) else { return };
        let bytes = message.value.as_ref().map_or(0, Vec::len);
        let blame = blame(code, message.partition.is_some());
        let led_to = lane.refused(seq, message, blame, Instant::now());
        let error = KafkaError::MessageProduction(code);
        if led_to == Refusal::Parked {
            tracing::error!(%topic, bytes, %error, "Kafka refuses a message; it is put aside and tried again later");
        } else if blame != Blame::Nobody
            && let Some(left_out) = self.lines.allows(topic)
        {
            tracing::error!(%topic, %error, left_out, "Kafka refuses messages; they are sent again");
        }
        if topic_is_missing(code) {
            self.mend(topic.clone());
        }
        self.link.check();
    }

    /// Has a missing topic made again, beside us: it may take seconds.
    fn mend(&mut self, topic: Arc<str>) {
        let Some(client) = self.link.producer().cloned() else { return };
        if !self.mending.insert(topic.clone()) {
            return;
        }
        let (notes, mended) = (self.own_notes.clone(), topic.clone());
        // The client would hear of the new topic by itself, but later. If it cannot ask now it does so then.
        let look = move |topic: &str| drop(client.client().fetch_metadata(Some(topic), LOOK_WITHIN));
        self.mender.mend(topic, look, move || {
            // Nobody listens any more once the bus is gone.
            let _gone = notes.send(Note::Mended(mended));
        });
    }

    /// Looks after the client and the lanes as far as it is time.
    fn look(&mut self) {
        let now = Instant::now();
        let under_way = |gauge: &Gauge| gauge.under_way.load(Ordering::Acquire);
        let idle = !self.link.is_up() && self.lanes.values().all(|(gauge, _)| under_way(gauge) == 0);
        let due: Vec<(Arc<str>, bool)> = self
            .lanes
            .iter()
            .filter(|(_, (_, lane))| lane.wake_at().is_some_and(|at| at <= now))
            .map(|(topic, (gauge, _))| (topic.clone(), under_way(gauge) == 0))
            .collect();
        if idle || !due.is_empty() {
            // What is under way no more was noted before it was taken off the count.
            self.take_all();
        }
        if !self.link.is_up() {
            self.link.look(now, idle);
            if self.link.is_up() {
                let topics: Vec<Arc<str>> = self.lanes.keys().cloned().collect();
                topics.iter().for_each(|topic| self.pump(topic));
            }
            return;
        }
        for (topic, empty) in due {
            if let Some((_, lane)) = self.lanes.get_mut(&topic) {
                lane.look(now, empty);
            }
            self.pump(&topic);
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let soon = Instant::now() + SOON;
        if !self.link.is_up() {
            return Some(soon);
        }
        self.lanes.values().filter_map(|(_, lane)| lane.wake_at()).min().map(|at| at.max(soon))
    }
}

/// Whose fault a refusal with this code is.
fn blame(code: RDKafkaErrorCode, chosen_partition: bool) -> Blame {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Fatal | Code::PurgeQueue | Code::PurgeInflight | Code::GaplessGuarantee => Blame::Nobody,
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTimestamp => Blame::Message,
        Code::UnknownPartition if chosen_partition => Blame::Message,
        // Whatever else a broker may say, now or in a later version, is tried again as a whole.
        _ => Blame::Topic,
    }
}

fn topic_is_missing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId)
}
