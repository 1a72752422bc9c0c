//! From every state on: if from now on workers work, messages arrive and timers go off, the saga comes to rest; and
//! if an operator lets it go on whenever it rests, it ends. All that was under way is lost.
//!
//! What follows then depends on the saga and its workers alone, so it is worked out once for each pair of them.

use std::sync::Arc;

use saga_model::state::{Hold, Outcome, WakeUp};

use super::book::{Book, Edge, Page};
use super::stimulus::{Ask, Stimulus};
use super::worker::{Answer, Command, Ledger, Move, Worker};
use super::world::{STEPS, State, command};
use crate::search::explore::fingerprint;
use crate::search::seen::Seen;

/// More steps than any saga with small budgets needs.
const PATIENCE: usize = 200;

/// The pairs that are known to end.
#[derive(Default)]
pub struct Fair {
    known: Seen,
}

impl Fair {
    /// # Errors
    /// Why this state does not come to an end.
    pub fn ends(&self, book: &Book, state: &State) -> Result<(), String> {
        let (mut page, mut workers) = (state.page, state.workers);
        for _ in 0..PATIENCE {
            // If this way did not end, the search would end here: so what is on it may be noted at once.
            if !self.known.insert(fingerprint(&(page, workers))) {
                return Ok(());
            }
            let now = book.page(page);
            let Some(stimulus) = next(book, &now, &mut workers)? else { return Ok(()) };
            page = match book.turn(&now, stimulus) {
                Edge::To(page) => page,
                Edge::Stays => return Err(format!("{stimulus:?} should take it on, and changes nothing")),
                Edge::Broken(what) => return Err(what.to_string()),
            };
        }
        Err(format!("after {PATIENCE} steps in which all went well it has not ended"))
    }
}

/// What happens next if all goes well; none if the saga has ended.
fn next(book: &Book, page: &Arc<Page>, workers: &mut [Worker; STEPS]) -> Result<Option<Stimulus>, String> {
    let saga = &page.saga;
    if saga.phase.is_final() {
        return Ok(None);
    }
    match saga.hold {
        Hold::Paused { .. } => return Ok(Some(Stimulus::Verb(Ask::Resume))),
        Hold::Stuck(_) => return Ok(Some(Stimulus::Verb(Ask::Replay))),
        Hold::None => {}
    }
    match saga.wake_up(&book.definition) {
        None => Err("nothing will wake it".to_owned()),
        Some(WakeUp::Backoff { .. }) => Ok(Some(Stimulus::BackoffOver)),
        Some(WakeUp::Reply { command: sent, .. }) => {
            let worker = &mut workers[usize::from(sent.step.0)];
            let answer = serve(worker, command(sent))?;
            Ok(Some(Stimulus::Reply { step: sent.step.0, answer }))
        }
    }
}

/// A worker that is well answers: first it ends what it is at.
fn serve(worker: &mut Worker, command: Command) -> Result<Answer, String> {
    finish(worker);
    match worker.take(command, None) {
        Some((after, Some(answer))) => {
            *worker = after;
            Ok(answer)
        }
        Some((after, None)) => {
            *worker = after;
            finish(worker).ok_or_else(|| format!("the worker cannot finish {command:?}: {worker:?}"))
        }
        None => Err(format!("the worker will not take {command:?}: {worker:?}")),
    }
}

/// It does what it is at, and records it.
fn finish(worker: &mut Worker) -> Option<Answer> {
    let mut said = None;
    while matches!(worker.ledger, Ledger::Running { alive: true, .. } | Ledger::Undoing { alive: true, .. }) {
        let mut best = None;
        worker.moves(None, |does, after, answer| match does {
            Move::Succeed => best = Some((after, answer)),
            Move::Effect if best.is_none() => best = Some((after, answer)),
            Move::Effect | Move::Refuse | Move::Retryable | Move::Unknown | Move::Die | Move::WakeUp { .. } => {}
        });
        let (after, answer) = best?;
        *worker = after;
        said = answer.filter(|answer| answer.outcome == Outcome::Succeeded);
    }
    said
}
