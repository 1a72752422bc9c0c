//! A worker as the contract asks for it, and workers that forget one of their duties.
//!
//! The ledger is that of the project's own workers: none → RUNNING → SUCCEEDED | REJECTED (round); a COMPENSATE turns
//! whatever there is into UNDOING and then a TOMBSTONE. RETRYABLE and UNKNOWN are not remembered. What happens
//! outside is kept apart from it, for that is what has to be right: an effect has a key (step, round), happens at
//! most once under it, and can be settled for good. A worker that is taken for dead may only be frozen: what it has
//! begun it may still bring about, until somebody has settled it.

use saga_model::state::{Kind, Outcome};

use super::twin::Twin;

/// Rounds of one question that a model has room for.
pub const ROUNDS: usize = 6;

/// What a worker knows of one step of the saga.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ledger {
    None,
    /// Somebody is at it for an attempt; not `alive`, it was given up and its lease is over.
    Running {
        round: u8,
        attempt: u8,
        alive: bool,
    },
    Succeeded {
        round: u8,
    },
    Rejected {
        round: u8,
    },
    /// A compensation was begun, asked for in the round `asked`: every action is refused from now on.
    Undoing {
        asked: u8,
        attempt: u8,
        alive: bool,
    },
    UndoRefused {
        asked: u8,
    },
    Tombstone {
        undone: bool,
    },
}

/// What is true outside, of one round of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    None,
    /// It has not happened, and somebody who is taken for dead may still bring it about.
    Due,
    Stands,
    Undone,
    /// It has not happened and never will.
    KeptOut,
}

/// One step's worker, and what it has brought about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    pub ledger: Ledger,
    /// By round, from 1.
    pub effects: [Effect; ROUNDS],
}

/// A command as a worker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Command {
    pub kind: Kind,
    pub round: u8,
    pub attempt: u8,
}

/// An answer: to which question, and for which attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    pub to: Command,
    pub outcome: Outcome,
    /// Of a compensation that succeeded: whether there was an effect.
    pub undone: bool,
}

/// What a worker does by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    /// The effect happens, or is undone; nothing is recorded yet.
    Effect,
    /// It records that it succeeded, and answers.
    Succeed,
    Refuse,
    Retryable,
    Unknown,
    Die,
    /// A worker that was taken for dead brings its effect about.
    WakeUp {
        round: u8,
    },
}

impl Worker {
    pub const IDLE: Self = Self { ledger: Ledger::None, effects: [Effect::None; ROUNDS] };

    /// How often the effect of this step stands.
    pub fn stands(&self) -> usize {
        self.effects.iter().filter(|effect| **effect == Effect::Stands).count()
    }

    pub(super) fn effect(&mut self, round: u8) -> &mut Effect {
        &mut self.effects[usize::from(round) - 1]
    }

    /// A command arrives: the worker as it is then, and its answer if it has one at once. `None` if it waits.
    pub fn take(mut self, command: Command, twin: Option<Twin>) -> Option<(Self, Option<Answer>)> {
        let answer = |outcome, undone| Some(Answer { to: command, outcome, undone });
        match command.kind {
            Kind::Action => self.act(command),
            Kind::Compensate => match self.ledger {
                Ledger::None if twin == Some(Twin::NoMemoryOfAnEarlyUndo) => {
                    Some((self, answer(Outcome::Succeeded, false)))
                }
                Ledger::None if twin == Some(Twin::NoTombstone) => Some((self, answer(Outcome::Succeeded, false))),
                Ledger::None => {
                    self.ledger = Ledger::Tombstone { undone: false };
                    Some((self, answer(Outcome::Succeeded, false)))
                }
                Ledger::Tombstone { undone } => Some((self, answer(Outcome::Succeeded, undone))),
                Ledger::UndoRefused { asked } if command.round <= asked => {
                    Some((self, answer(Outcome::Rejected, false)))
                }
                Ledger::Running { alive: true, .. } => Some((self, answer(Outcome::Retryable, false))),
                Ledger::Undoing { alive: true, .. } => None,
                Ledger::Running { alive: false, .. }
                | Ledger::Undoing { alive: false, .. }
                | Ledger::Succeeded { .. }
                | Ledger::Rejected { .. }
                | Ledger::UndoRefused { .. } => {
                    self.ledger = Ledger::Undoing { asked: command.round, attempt: command.attempt, alive: true };
                    Some((self, None))
                }
            },
        }
    }

    fn act(mut self, command: Command) -> Option<(Self, Option<Answer>)> {
        let answer = |outcome| Some(Answer { to: command, outcome, undone: false });
        let Command { round, attempt, .. } = command;
        let begin = Ledger::Running { round, attempt, alive: true };
        match self.ledger {
            Ledger::Undoing { .. } | Ledger::UndoRefused { .. } | Ledger::Tombstone { .. } => {
                Some((self, answer(Outcome::Rejected)))
            }
            Ledger::Running { round: seen, .. }
            | Ledger::Succeeded { round: seen }
            | Ledger::Rejected { round: seen }
                if round < seen =>
            {
                Some((self, answer(Outcome::Rejected)))
            }
            Ledger::Running { alive: true, .. } => None,
            Ledger::Succeeded { round: seen } if seen == round => Some((self, answer(Outcome::Succeeded))),
            Ledger::Rejected { round: seen } if seen == round => Some((self, answer(Outcome::Rejected))),
            Ledger::Running { round: seen, alive: false, .. } => {
                if seen < round {
                    self.settle(seen);
                }
                self.ledger = begin;
                Some((self, None))
            }
            Ledger::None | Ledger::Succeeded { .. } | Ledger::Rejected { .. } => {
                self.ledger = begin;
                Some((self, None))
            }
        }
    }

    /// Finds out what became of an effect: what has not happened by now is kept out.
    pub(super) fn settle(&mut self, round: u8) {
        let effect = self.effect(round);
        if *effect == Effect::Due {
            *effect = Effect::KeptOut;
        }
    }

    pub(super) fn undo(&mut self) {
        for effect in &mut self.effects {
            *effect = match *effect {
                Effect::Stands => Effect::Undone,
                Effect::Due => Effect::KeptOut,
                Effect::None | Effect::Undone | Effect::KeptOut => *effect,
            };
        }
    }

    /// Forgets for which attempt it works where that makes no difference: its RETRYABLE or UNKNOWN would not matter.
    pub fn forget_attempt(&mut self, matters: impl Fn(Answer) -> bool) {
        let (kind, round, attempt, alive) = match &mut self.ledger {
            Ledger::Running { round, attempt, alive } => (Kind::Action, *round, attempt, *alive),
            Ledger::Undoing { asked, attempt, alive } => (Kind::Compensate, *asked, attempt, *alive),
            Ledger::None
            | Ledger::Succeeded { .. }
            | Ledger::Rejected { .. }
            | Ledger::UndoRefused { .. }
            | Ledger::Tombstone { .. } => return,
        };
        let matters = |attempt| {
            [Outcome::Retryable, Outcome::Unknown]
                .into_iter()
                .any(|outcome| matters(Answer { to: Command { kind, round, attempt }, outcome, undone: false }))
        };
        if !alive || !matters(*attempt) && !matters(1) {
            *attempt = 1;
        }
    }
}
