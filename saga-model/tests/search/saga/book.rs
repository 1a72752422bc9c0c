//! The real machine as an automaton, explored as it is asked for.
//!
//! `advance` is pure, so each (saga, event) is applied once and the answer is written into a book. Sagas that differ
//! only in what [`plain`] leaves out are one page. A page keeps the saga as it really came about, with its history, and
//! each transition is checked against all numbered invariants with the whole history that led to it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use saga_model::advance::Advance;
use saga_model::event::{Action, Event};
use saga_model::history::Row;
use saga_model::state::{CommandRef, Deadline, Saga};
use saga_model::{Definition, Micros, invariants};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::live::Replies;
use super::page_checks;
use super::plain::{plain, sent};
use super::stimulus::{SECRET, Stimulus, actor_of, event_of, id};
use super::twin::{Twin, machine};
use crate::search::explore::lock;

const START: Micros = Micros(1_700_000_000_000_000);
const SECOND: i64 = 1_000_000;

/// A saga at one point of its life.
pub struct Page {
    pub saga: Saga,
    /// The timers that are armed, and the verbs that are possible.
    pub timers: Vec<Stimulus>,
    pub verbs: Vec<Stimulus>,
    /// Every command that was ever sent, and the replies that there can be.
    pub sent: Vec<CommandRef>,
    pub replies: Replies,
    /// The rows of the transition that led here first; the last is not older than any other.
    rows: Vec<Row>,
    past: Past,
    before: Option<Arc<Page>>,
    edges: Mutex<HashMap<Stimulus, Edge>>,
}

/// What the invariants want to know of a history beyond the state that it made.
#[derive(Clone, Default, Hash)]
struct Past {
    topics: Vec<String>,
    compensated: bool,
    resolved: bool,
}

/// What becomes of a saga.
#[derive(Clone)]
pub enum Edge {
    /// Nothing changes.
    Stays,
    To(u32),
    Broken(Arc<str>),
}

/// All pages that were reached.
pub struct Book {
    pub definition: Definition,
    twin: Option<Twin>,
    pages: RwLock<Vec<Arc<Page>>>,
    known: Mutex<HashMap<u128, u32>>,
}

impl Book {
    /// A book with the page of a saga that was just submitted: page 0.
    pub fn new(definition: Definition, twin: Option<Twin>) -> Result<Self, String> {
        let book = Self { definition, twin, pages: RwLock::default(), known: Mutex::default() };
        let submitted = Event::Submitted { id: id(), secret: SECRET };
        match machine(&book.definition, twin, None, &submitted, &actor_of(Stimulus::EngineFails), START) {
            Ok((saga, rows)) => book.write(None, saga, rows).map(|_| book),
            Err(other) => Err(format!("a submission does not start a saga: {other:?}")),
        }
    }

    pub fn page(&self, number: u32) -> Arc<Page> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)[number as usize].clone()
    }

    /// How many sagas there are that behave differently.
    pub fn pages(&self) -> usize {
        self.pages.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What `stimulus` makes of `page`.
    pub fn turn(&self, page: &Arc<Page>, stimulus: Stimulus) -> Edge {
        let mut edges = lock(&page.edges);
        if let Some(edge) = edges.get(&stimulus) {
            return edge.clone();
        }
        let edge = match self.apply(page, stimulus) {
            Ok(None) => Edge::Stays,
            Ok(Some(number)) => Edge::To(number),
            Err(what) => Edge::Broken(what.into()),
        };
        edges.insert(stimulus, edge.clone());
        edge
    }

    fn apply(&self, page: &Arc<Page>, stimulus: Stimulus) -> Result<Option<u32>, String> {
        let now = page.now(stimulus);
        let event = event_of(&self.definition, &page.saga, stimulus);
        match machine(&self.definition, self.twin, Some(&page.saga), &event, &actor_of(stimulus), now) {
            Ok((saga, rows)) => {
                if let Stimulus::Reply { step, answer } = stimulus {
                    page_checks::reply(&self.definition, self.twin, &page.saga, &saga, (step, answer), now)?;
                }
                self.write(Some(page), saga, rows).map(Some)
            }
            Err(Advance::Refused(why)) => Err(format!("a verb that is possible is refused: {why:?}")),
            Err(Advance::DeadLetter(why)) => Err(format!("a genuine reply is a dead letter: {why:?}")),
            Err(Advance::Ignored(_) | Advance::Changed(_)) => Ok(None),
        }
    }

    /// Writes a transition into the book, or finds the page that it leads to.
    fn write(&self, before: Option<&Arc<Page>>, saga: Saga, rows: Vec<Row>) -> Result<u32, String> {
        let history: Vec<Row> = before.map(|page| page.history()).into_iter().flatten().chain(rows.clone()).collect();
        if let Some(broken) = invariants::check(&self.definition, &saga, &history).first() {
            return Err(broken.to_string());
        }
        let mut past = before.map(|page| page.past.clone()).unwrap_or_default();
        for row in &rows {
            past.topics.extend(row.data.emit.iter().map(|event| event.topic.clone()));
            past.compensated |= row.data.verb == Some(Action::Compensate);
            past.resolved |= row.data.verb == Some(Action::Resolve);
        }
        let fingerprint = fingerprint(&plain(&self.definition, &saga), &past);
        page_checks::room(&saga)?;
        let replies = Replies::of(&self.definition, &saga, self.twin);
        if let Some(before) = before {
            page_checks::dead_stay_dead(&before.replies, &replies)?;
        }
        let now = rows.last().map_or(START, |row| row.at);
        let mut known = lock(&self.known);
        if let Some(number) = known.get(&fingerprint).copied() {
            drop(known);
            page_checks::alike(&self.definition, self.twin, &self.page(number), &saga, now)?;
            return Ok(number);
        }
        let sent = sent(&self.definition, &saga, self.twin);
        page_checks::cancelled_in_time(&self.definition, &saga)?;
        page_checks::spurious_timers(&self.definition, &saga, &sent, now)?;
        page_checks::dead_replies(&self.definition, &saga, &replies, now)?;
        let page = Page {
            timers: page_checks::armed(&self.definition, &saga),
            verbs: page_checks::verbs(&self.definition, &saga, now)?,
            sent,
            replies,
            rows,
            past,
            before: before.cloned(),
            edges: Mutex::default(),
            saga,
        };
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(pages.len()).map_err(|_| "more sagas than numbers for them".to_owned())?;
        pages.push(Arc::new(page));
        known.insert(fingerprint, number);
        Ok(number)
    }
}

impl Page {
    /// The rows of the transition that led here first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All rows up to here.
    fn history(&self) -> Vec<Row> {
        let mut pages = vec![self];
        while let Some(before) = pages.last().and_then(|page| page.before.as_deref()) {
            pages.push(before);
        }
        pages.into_iter().rev().flat_map(|page| page.rows.iter().cloned()).collect()
    }

    /// When `stimulus` happens: a second after the last thing, or when the deadline has passed.
    fn now(&self, stimulus: Stimulus) -> Micros {
        let next = self.rows.last().map_or(START, |row| row.at).plus(SECOND);
        match (stimulus, self.saga.deadline) {
            (Stimulus::Deadline, Deadline::At(at)) => next.max(at),
            (_, Deadline::At(_) | Deadline::Held { .. } | Deadline::None) => next,
        }
    }
}

fn fingerprint(saga: &Saga, past: &Past) -> u128 {
    let mut hasher = SipHasher13::new();
    (saga, past).hash(&mut hasher);
    let _: u64 = hasher.finish();
    hasher.finish128().as_u128()
}
