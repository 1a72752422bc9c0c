//! The judge: sees everything that is stored and sent, and says at once what must not be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use orchestrator::store::rows::{Batch, SagaRecord};
use saga_model::event::Actor;
use saga_model::history::{Emitted, Row, RowKind};
use saga_model::state::{CommandRef, Deadline, Kind, Saga};
use saga_model::{Definition, Micros, SagaId, invariants, wire};
use service::headers::Headers;

use super::ground::{Ground, short};
use super::life::Life;

/// How long a deadline waits for replies to be read, in microseconds, whatever the broker says.
const DEADLINE_PATIENCE: i64 = 5_000_000;

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The rule that is broken.
    pub rule: String,
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// A saga as the judge knows it.
pub struct Log {
    pub record: SagaRecord,
    pub rows: Vec<Row>,
    before: Option<Arc<Saga>>,
    /// The events of its rows, and how many of them stand in the topics, in order.
    pub events: Vec<(u32, Emitted)>,
    pub told: usize,
}

/// See the module.
pub struct Oracle {
    pub definition: Arc<Definition>,
    pub sagas: BTreeMap<SagaId, Log>,
    pub wrong: Option<Wrong>,
    /// Instances' clocks agree.
    pub clocks_agree: bool,
    /// The database refuses nothing for what it is.
    pub wholesome: bool,
    /// What has ended may not change any more, but for late replies that are recorded.
    pub over: bool,
}

impl Oracle {
    pub fn new(definition: Arc<Definition>, clocks_agree: bool, wholesome: bool) -> Self {
        Self { definition, sagas: BTreeMap::new(), wrong: None, clocks_agree, wholesome, over: false }
    }

    /// Says that something is wrong; the first word counts.
    pub fn object(&mut self, rule: impl Into<String>, what: impl Into<String>) {
        if self.wrong.is_none() {
            self.wrong = Some(Wrong { rule: rule.into(), what: what.into() });
        }
    }

    /// A batch was stored.
    pub fn stored(&mut self, ground: &Ground, life: &Life, batch: &Batch) {
        for write in &batch.inserts {
            let log = Log { record: write.record.clone(), rows: Vec::new(), before: None, events: Vec::new(), told: 0 };
            if self.sagas.insert(write.record.saga.id, log).is_some() {
                self.object("StoredOnce", format!("saga {} is stored twice", short(write.record.saga.id)));
            }
        }
        let failed = batch.history.iter().any(|stored| stored.row.kind == RowKind::EngineFailed);
        if self.wholesome && (failed || batch.dead_letters.iter().any(|letter| letter.code == "ENGINE_ERROR")) {
            self.object("NothingIsPoisonous", "the engine failed, and nothing was refused for what it is");
        }
        for stored in &batch.history {
            self.judge_timer(ground, life, batch, stored.saga, &stored.row);
            let Some(log) = self.sagas.get_mut(&stored.saga) else {
                self.object("RowsHaveSagas", format!("a row of saga {}, which is not stored", short(stored.saga)));
                continue;
            };
            log.events.extend(stored.row.data.emit.iter().map(|event| (stored.row.seq, event.clone())));
            log.rows.push((*stored.row).clone());
            // One that is held may still hear the answer that it misses.
            if self.over && log.record.saga.phase.is_final() && stored.row.kind != RowKind::ReplyIgnored {
                self.object("RestIsRest", format!("saga {} goes on: {:?}", short(stored.saga), stored.row.kind));
            }
        }
        for write in &batch.updates {
            if let Some(log) = self.sagas.get_mut(&write.record.saga.id) {
                log.before = Some(Arc::clone(&log.record.saga));
                log.record.saga = Arc::clone(&write.record.saga);
            }
        }
        let mut changed: Vec<SagaId> = batch.history.iter().map(|row| row.saga).collect();
        changed.extend(batch.updates.iter().map(|write| write.record.saga.id));
        changed.sort_unstable();
        changed.dedup();
        for saga in changed {
            self.judge(saga);
        }
    }

    fn judge(&mut self, saga: SagaId) {
        let Some(log) = self.sagas.get(&saga) else { return };
        let broken = invariants::check(&self.definition, &log.record.saga, &log.rows);
        if let Some(violation) = broken.into_iter().next() {
            let rule = format!("INV-{}", violation.number);
            self.object(rule, format!("saga {}: {violation}", short(saga)));
        }
    }

    /// A timer that an answer could make moot fires only once the answers that were there have been read, and that of
    /// a command only once a worker has taken it.
    fn judge_timer(&mut self, ground: &Ground, life: &Life, batch: &Batch, saga: SagaId, row: &Row) {
        if row.actor != Actor::Timer || row.kind == RowKind::AttemptStarted || !self.clocks_agree {
            return;
        }
        let Some(log) = self.sagas.get(&saga) else { return };
        let (due, command) = match (row.kind, log.record.saga.deadline) {
            (RowKind::DeadlinePassed, Deadline::At(at)) => (at, None),
            (_, _) => {
                let Some((sent_at, command)) = last_sent(&self.definition, &log.rows) else { return };
                (sent_at.plus(self.definition.timeout(command.step).micros()), Some(command))
            }
        };
        if let Some(command) = command {
            let topic = &self.definition.step(command.step).topic;
            if !ground.net().was_taken(topic, saga, command) {
                let what = format!("saga {}: {command:?} timed out, and no worker has taken it", short(saga));
                self.object("NoTimeWithoutWorker", what);
            }
        }
        let shard = saga.slot().shard(ground.net().shards);
        let Some(mark) = batch.shards.iter().find(|mark| mark.shard == shard) else { return };
        // The mark waits for a dead letter or a reply passed on; what was read then is behind it.
        let held = ground.net().is_held(shard, mark.reply_offset);
        let read = if held { life.read_to(shard).max(mark.reply_offset) } else { mark.reply_offset };
        let overdue = row.kind == RowKind::DeadlinePassed && row.at.since(due) >= DEADLINE_PATIENCE;
        if !overdue && !life.has_read(shard, due, read) {
            let what = format!("saga {}: {:?} before the replies were read", short(saga), row.kind);
            self.object("TimersYieldToReplies", what);
        }
    }

    /// A command was sent.
    pub fn command(&mut self, _: &Ground, command: Option<(SagaId, CommandRef)>) {
        let Some((saga, command)) = command else { return };
        let name = &self.definition.step(command.step).name;
        let asked = self.sagas.get(&saga).is_some_and(|log| {
            log.rows.iter().filter_map(|row| row.data.next.as_ref()).any(|next| {
                next.step == *name
                    && next.kind == command.kind
                    && next.round == command.round
                    && next.attempt == command.attempt
            })
        });
        if !asked {
            let what = format!("saga {}: {command:?} is sent and stands in no row", short(saga));
            self.object("SentMeansCommitted", what);
        }
    }

    /// A domain event was sent: it stands in a row, in the right order, the same to the byte each time.
    pub fn event(&mut self, ground: &Ground, topic: &str, value: &[u8], headers: &Headers) {
        let Some((saga, seq)) = headers.text("ce_id").and_then(read_id) else {
            return self.object("SentMeansCommitted", format!("an event of {topic} without an id"));
        };
        let Some(log) = self.sagas.get_mut(&saga) else {
            return self.object("SentMeansCommitted", format!("{topic} of saga {}, which is not stored", short(saga)));
        };
        let Some(place) = log.events.iter().position(|(of, event)| *of == seq && event.topic == topic) else {
            let what = format!("{topic} of saga {} row {seq} stands in no row", short(saga));
            return self.object("SentMeansCommitted", what);
        };
        let input = wire::SagaInput::new(&log.record.origin.input);
        let expected = wire::domain_event::write(&self.definition, saga, &input, &log.events[place].1);
        if !expected.is_ok_and(|expected| expected == value) {
            let what = format!("{topic} of saga {}: {}", short(saga), String::from_utf8_lossy(value));
            return self.object("EventsAreTheSame", what);
        }
        if place == log.told {
            log.told += 1;
        } else if place > log.told {
            let missing = &log.events[log.told].1.topic;
            let what = format!("{topic} of saga {} before {missing}", short(saga));
            ground.tell(|| what.clone());
            self.object("EventsInOrder", what);
        }
    }

    /// An event is about to be sent though its row is not stored yet.
    pub fn early(&mut self, saga: SagaId, seq: u32, topic: &str) {
        let stored = self.sagas.get(&saga).is_some_and(|log| log.rows.iter().any(|row| row.seq == seq));
        if !stored {
            let what = format!("{topic} of saga {} row {seq} stands in no row", short(saga));
            self.object("SentMeansCommitted", what);
        }
    }

    /// A saga as it was before its last change.
    pub fn as_it_was(&self, record: &mut SagaRecord) {
        if let Some(before) = self.sagas.get(&record.saga.id).and_then(|log| log.before.clone()) {
            record.saga = before;
        }
    }
}

/// The last command of a history, and when it was sent.
fn last_sent(definition: &Definition, rows: &[Row]) -> Option<(Micros, CommandRef)> {
    let (at, next) = rows.iter().rev().find_map(|row| Some((row.at, row.data.next.as_ref()?)))?;
    let kind: Kind = next.kind;
    Some((at, CommandRef { step: definition.find(&next.step)?, kind, round: next.round, attempt: next.attempt }))
}

/// `<sagaId>/<seq>/<topic>`.
fn read_id(text: &str) -> Option<(SagaId, u32)> {
    let mut parts = text.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
