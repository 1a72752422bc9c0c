//! A turn's inputs applied in memory, on copies: what one commit will store.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use saga_model::advance::{Advance, Ignored, Transition, advance};
use saga_model::effect::Effect;
use saga_model::event::{Actor, Event};
use saga_model::history::Row;
use saga_model::ids::ShardId;
use saga_model::wire::{Unreadable, about};
use saga_model::{Definition, Micros, SagaId};

use super::input::ReplyInput;
use super::trace::{self, EndedAttempt};
use crate::bus::{Incoming, topics};
use crate::store::rows::{AdminAnswer, DeadLetter, DeadLetterStatus, NewKey, SagaRecord};

/// What one commit will store, and what follows once it has.
#[derive(Debug)]
pub struct Draft {
    pub now: Micros,
    pub members: Vec<Member>,
    index: HashMap<SagaId, usize>,
    pub keys: Vec<(usize, NewKey)>,
    pub answers: Vec<AdminAnswer>,
    pub dead_letters: Vec<(ShardId, DeadLetter)>,
    pub passed_on: Vec<PassedOn>,
    pub ignored: BTreeMap<Ignored, u32>,
    /// Attempts that its transitions end.
    pub ended: Vec<EndedAttempt>,
    /// Names of steps that replies were found to be about: labels of a metric must be ours, not a message's.
    pub known_steps: BTreeSet<String>,
    /// Submissions that the pure function itself could not take, by index of the input.
    pub failed: Vec<(usize, String)>,
}

/// A reply that was read on the partition of one shard and belongs on that of another.
#[derive(Debug)]
pub struct PassedOn {
    pub reply: Incoming,
    pub from: ShardId,
    pub to: ShardId,
}

/// A saga that a draft changes.
#[derive(Debug)]
pub struct Member {
    pub record: SagaRecord,
    pub definition: Arc<Definition>,
    pub shard: ShardId,
    /// The index of the submission that starts it; none for a saga stored before.
    pub submission: Option<usize>,
    pub transitions: Vec<(Arc<Row>, Vec<Effect>)>,
    /// Where its first row stands in its shard; set when the draft is encoded.
    pub first_seq: u64,
    /// Whether it is flagged from then on; set when the draft is encoded.
    pub lingering: bool,
}

/// What `advance` made of an event, or the words of its panic.
pub type Judged = Result<Advance, String>;

/// `advance` behind a fence: a panic is a bug, and it stays with its saga.
pub fn judge(
    record: Option<&SagaRecord>,
    definition: &Definition,
    event: &Event,
    actor: &Actor,
    now: Micros,
) -> Judged {
    let saga = record.map(|record| &*record.saga);
    catch_unwind(AssertUnwindSafe(|| advance(definition, saga, event, actor, now)))
        .map_err(|panic| format!("the transition could not be computed: {}", said(&*panic)))
}

/// The words of a panic, if it had any.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

impl Draft {
    pub fn new(now: Micros) -> Self {
        Self {
            now,
            members: Vec::new(),
            index: HashMap::new(),
            keys: Vec::new(),
            answers: Vec::new(),
            dead_letters: Vec::new(),
            passed_on: Vec::new(),
            ignored: BTreeMap::new(),
            ended: Vec::new(),
            known_steps: BTreeSet::new(),
            failed: Vec::new(),
        }
    }

    /// Whether there is nothing to store but marks, and nothing to send.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.answers.is_empty() && self.dead_letters.is_empty() && self.passed_on.is_empty()
    }

    /// The first reply on this shard's partition of which a message has to leave.
    pub fn first_passing(&self, shard: ShardId) -> Option<i64> {
        let letters = self.dead_letters.iter().filter(|(of, _)| *of == shard).map(|(_, letter)| letter.offset);
        let passed = self.passed_on.iter().filter(|passed| passed.from == shard).map(|passed| passed.reply.offset);
        letters.chain(passed).min()
    }

    /// The saga as this draft has it, if it changes it.
    pub fn copy(&self, saga: SagaId) -> Option<&Member> {
        self.index.get(&saga).map(|index| &self.members[*index])
    }

    /// Takes a new saga in, with its first transition.
    pub fn start(
        &mut self,
        record: SagaRecord,
        definition: Arc<Definition>,
        shard: ShardId,
        submission: usize,
        (row, effects): (Row, Vec<Effect>),
    ) {
        self.index.insert(record.saga.id, self.members.len());
        self.members.push(Member {
            record,
            definition,
            shard,
            submission: Some(submission),
            transitions: vec![(Arc::new(row), effects)],
            first_seq: 0,
            lingering: false,
        });
    }

    /// Takes a transition of a saga stored before in.
    pub fn change(&mut self, record: &SagaRecord, definition: &Arc<Definition>, shard: ShardId, t: Transition) {
        let Transition { saga, row, effects } = t;
        self.ended.extend(trace::ended(definition, record, &saga, row.kind));
        let row = Arc::new(row);
        match self.index.get(&saga.id) {
            Some(index) => {
                let member = &mut self.members[*index];
                member.record.saga = Arc::new(saga);
                member.transitions.push((row, effects));
            }
            None => {
                self.index.insert(saga.id, self.members.len());
                let record = SagaRecord { saga: Arc::new(saga), origin: record.origin.clone() };
                self.members.push(Member {
                    record,
                    definition: definition.clone(),
                    shard,
                    submission: None,
                    transitions: vec![(row, effects)],
                    first_seq: 0,
                    lingering: false,
                });
            }
        }
    }

    /// Notes a message that changes no saga.
    pub fn dead_letter(&mut self, id: uuid::Uuid, reply: &ReplyInput, why: Unreadable) {
        let incoming = &reply.incoming;
        let letter = DeadLetter {
            id,
            topic: topics::REPLIES.to_owned(),
            partition: incoming.partition,
            offset: incoming.offset,
            key: incoming.key.clone(),
            value: incoming.value.clone(),
            headers: incoming.headers.clone(),
            code: why.code.as_str().to_owned(),
            detail: why.detail,
            saga: about(incoming.key.as_deref(), incoming.value.as_deref()),
            at: self.now,
            status: DeadLetterStatus::New,
        };
        self.dead_letters.push((reply.shard, letter));
    }

    /// Notes an event that rightly changed nothing.
    pub fn ignore(&mut self, why: Ignored) {
        *self.ignored.entry(why).or_default() += 1;
    }
}
