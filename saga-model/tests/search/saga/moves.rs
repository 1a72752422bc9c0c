//! What a worker does by itself, and may do at any moment: go on, answer, fall silent, wake up.

use saga_model::state::{Kind, Outcome};

use super::twin::Twin;
use super::worker::{Answer, Command, Effect, Ledger, Move, Worker};

impl Worker {
    /// What it may do by itself now, with what it then answers.
    pub fn moves(self, twin: Option<Twin>, mut each: impl FnMut(Move, Self, Option<Answer>)) {
        for round in (1..).zip(self.effects).filter(|(_, effect)| *effect == Effect::Due).map(|(round, _)| round) {
            let mut woken = self;
            *woken.effect(round) = Effect::Stands;
            each(Move::WakeUp { round }, woken, None);
        }
        match self.ledger {
            Ledger::Running { round, attempt, alive: true } => {
                let command = Command { kind: Kind::Action, round, attempt };
                self.run(command, twin, each);
            }
            Ledger::Undoing { asked, attempt, alive: true } => {
                let command = Command { kind: Kind::Compensate, round: asked, attempt };
                self.run_undo(command, twin, each);
            }
            Ledger::None
            | Ledger::Running { alive: false, .. }
            | Ledger::Undoing { alive: false, .. }
            | Ledger::Succeeded { .. }
            | Ledger::Rejected { .. }
            | Ledger::UndoRefused { .. }
            | Ledger::Tombstone { .. } => {}
        }
    }

    fn run(self, command: Command, twin: Option<Twin>, mut each: impl FnMut(Move, Self, Option<Answer>)) {
        let Command { round, attempt, .. } = command;
        let answer = |outcome| Some(Answer { to: command, outcome, undone: false });
        let stopped = Self { ledger: Ledger::Running { round, attempt, alive: false }, ..self };
        // Whoever is taken for dead may only be frozen, and still do it.
        let mut given_up = stopped;
        if *given_up.effect(round) == Effect::None {
            *given_up.effect(round) = Effect::Due;
        }
        let mut worker = self;
        match *worker.effect(round) {
            Effect::None | Effect::Due => {
                *worker.effect(round) = Effect::Stands;
                each(Move::Effect, worker, None);
                let mut refused = self;
                refused.settle(round);
                refused.ledger = Ledger::Rejected { round };
                match twin {
                    Some(Twin::ForgottenRejected) => {
                        refused = Self { ledger: Ledger::None, ..self };
                    }
                    Some(Twin::RefusesWithoutSettling) => refused.effects = self.effects,
                    Some(
                        Twin::NoTombstone
                        | Twin::NoMemoryOfAnEarlyUndo
                        | Twin::UndoesOnlyWhatIsKnownDone
                        | Twin::UndoesWithoutSettling,
                    )
                    | None => {}
                }
                each(Move::Refuse, refused, answer(Outcome::Rejected));
            }
            Effect::Stands => {
                worker.ledger = Ledger::Succeeded { round };
                each(Move::Succeed, worker, answer(Outcome::Succeeded));
            }
            // Kept out by a settlement: only an undo or a later round does that, and then nobody is at it.
            Effect::Undone | Effect::KeptOut => {}
        }
        // Of an earlier delivery an effect may stand that this one did not look for.
        each(Move::Retryable, stopped, answer(Outcome::Retryable));
        each(Move::Unknown, given_up, answer(Outcome::Unknown));
        each(Move::Die, given_up, None);
    }

    fn run_undo(self, command: Command, twin: Option<Twin>, mut each: impl FnMut(Move, Self, Option<Answer>)) {
        let Command { round, attempt, .. } = command;
        let answer = |outcome, undone| Some(Answer { to: command, outcome, undone });
        let given_up = Self { ledger: Ledger::Undoing { asked: round, attempt, alive: false }, ..self };
        let mut clean = self;
        clean.undo();
        if twin == Some(Twin::UndoesWithoutSettling) {
            for (effect, before) in clean.effects.iter_mut().zip(self.effects) {
                if before == Effect::Due {
                    *effect = Effect::Due;
                }
            }
        }
        if clean != self {
            each(Move::Effect, clean, None);
        }
        let undone = clean.effects.contains(&Effect::Undone);
        let mut done = Self { ledger: Ledger::Tombstone { undone }, ..clean };
        if twin == Some(Twin::NoTombstone) {
            done = Self::IDLE;
        }
        each(Move::Succeed, done, answer(Outcome::Succeeded, undone));
        let refused = Self { ledger: Ledger::UndoRefused { asked: round }, ..self };
        each(Move::Refuse, refused, answer(Outcome::Rejected, false));
        each(Move::Retryable, given_up, answer(Outcome::Retryable, false));
        each(Move::Unknown, given_up, answer(Outcome::Unknown, false));
        each(Move::Die, given_up, None);
    }
}
