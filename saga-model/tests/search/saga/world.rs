//! One saga with its workers and all that is under way between them.

use saga_model::Definition;
use saga_model::definition::StepIndex;
use saga_model::state::CommandRef;

use super::book::{Book, Edge, Page};
use super::channel::Channel;
use super::fair::Fair;
use super::stimulus::Stimulus;
use super::tell;
use super::truth;
use super::twin::Twin;
use super::worker::{Answer, Command, Move, Worker};
use crate::search::model::{Model, Steps, Wrong};

/// Steps that a definition may have here.
pub const STEPS: usize = 3;

/// What the world may do to a saga beyond losing, repeating and reordering its messages, which it always may.
#[derive(Clone, Copy)]
pub struct Trouble {
    /// Verbs of operators.
    pub verbs: u8,
    /// Failures of the engine itself.
    pub engine_failures: u8,
    pub twin: Option<Twin>,
}

/// One saga among its workers.
pub struct World {
    pub book: Book,
    pub trouble: Trouble,
    fair: Fair,
}

/// How things are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The saga's page in the book.
    pub page: u32,
    pub verbs_left: u8,
    pub failures_left: u8,
    pub workers: [Worker; STEPS],
    /// The replies to the open question that were written.
    pub channel: Channel,
}

/// What happens next.
#[derive(Clone, Copy)]
pub enum Action {
    /// A command arrives at its worker, for the first time or again.
    Arrives {
        step: u8,
        command: Command,
    },
    Worker {
        step: u8,
        does: Move,
    },
    Saga(Stimulus),
}

impl World {
    /// # Errors
    /// If the definition is too long, or breaks a rule at once.
    pub fn new(definition: Definition, trouble: Trouble) -> Result<Self, String> {
        if definition.blueprint().steps.len() > STEPS {
            return Err(format!("a definition of more than {STEPS} steps"));
        }
        Ok(Self { book: Book::new(definition, trouble.twin)?, trouble, fair: Fair::default() })
    }
}

impl World {
    /// How many sagas were reached that behave differently.
    pub fn pages(&self) -> u64 {
        self.book.pages() as u64
    }
}

/// A command as its worker sees it. Rounds and attempts are small: [`Channel`] refuses others.
pub fn command(sent: CommandRef) -> Command {
    Command { kind: sent.kind, round: sent.round as u8, attempt: sent.attempt as u8 }
}

impl State {
    /// After a worker's step: the worker as it is then, and its answer written, unless it is of no interest.
    fn with(mut self, page: &Page, step: u8, mut worker: Worker, answer: Option<Answer>) -> Self {
        worker.forget_attempt(|answer| page.replies.is_live(step, answer));
        self.workers[usize::from(step)] = worker;
        if let Some(answer) = answer.filter(|answer| page.replies.is_live(step, *answer)) {
            self.channel.put(answer);
        }
        self
    }

    /// After a saga's step: without what is of no interest any more.
    fn on(mut self, number: u32, before: &Page, page: &Page, definition: &Definition) -> Self {
        self.page = number;
        self.channel = page.replies.still(&before.replies, self.channel);
        for (step, def) in definition.steps() {
            let worker = &mut self.workers[usize::from(step.0)];
            worker.forget_attempt(|answer| page.replies.is_live(step.0, answer));
            if page.saga.phase.is_final() && !def.undoable() {
                *worker = Worker::IDLE; // what it told cannot be untold
            }
        }
        self
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        State {
            page: 0,
            verbs_left: self.trouble.verbs,
            failures_left: self.trouble.engine_failures,
            workers: [Worker::IDLE; STEPS],
            channel: Channel::default(),
        }
    }

    fn next(&self, state: &State, steps: &mut Steps<Self>) {
        let page = self.book.page(state.page);
        // Of a step that cannot be undone, nothing matters once the saga has ended.
        let matters = |step: StepIndex| !page.saga.phase.is_final() || self.book.definition.step(step).undoable();
        for (step, worker) in (0..).zip(state.workers) {
            worker.moves(self.trouble.twin, |does, worker, answer| {
                steps.go(Action::Worker { step, does }, state.with(&page, step, worker, answer));
            });
        }
        for sent in page.sent.iter().filter(|sent| matters(sent.step)) {
            let (step, command) = (sent.step.0, command(*sent));
            if let Some((worker, answer)) = state.workers[usize::from(step)].take(command, self.trouble.twin) {
                steps.go(Action::Arrives { step, command }, state.with(&page, step, worker, answer));
            }
        }
        let mut happens = |stimulus, state: State| match self.book.turn(&page, stimulus) {
            Edge::Stays => {}
            Edge::To(number) => {
                let next = state.on(number, &page, &self.book.page(number), &self.book.definition);
                steps.go(Action::Saga(stimulus), next);
            }
            Edge::Broken(what) => steps.broken(Action::Saga(stimulus), what.to_string()),
        };
        for (step, answer) in page.replies.live.iter().filter(|(_, answer)| state.channel.has(*answer)) {
            happens(Stimulus::Reply { step: *step, answer: *answer }, *state);
        }
        page.timers.iter().for_each(|timer| happens(*timer, *state));
        if let Some(verbs_left) = state.verbs_left.checked_sub(1) {
            page.verbs.iter().for_each(|verb| happens(*verb, State { verbs_left, ..*state }));
        }
        if let Some(failures_left) = state.failures_left.checked_sub(1) {
            happens(Stimulus::EngineFails, State { failures_left, ..*state });
        }
    }

    fn check(&self, state: &State) -> Result<(), Wrong> {
        truth::check(&self.book.definition, &self.book.page(state.page).saga, &state.workers)?;
        // A twin may well be unable to end; that is not what it is refuted for.
        match self.trouble.twin {
            Some(_) => Ok(()),
            None => Ok(self.fair.ends(&self.book, state)?),
        }
    }

    fn tell(&self, from: &State, action: Action) -> String {
        tell::line(self, from, action)
    }
}
