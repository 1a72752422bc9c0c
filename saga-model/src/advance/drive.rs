//! What follows from the state of a saga, whatever brought it there.

use super::draft::Draft;
use crate::definition::StepIndex;
use crate::state::{Failure, Flight, Hold, Kind, Phase, Question, StepStatus, Stuck, StuckCause, UndoStatus};

/// How far the answer to a question is.
enum Progress {
    /// Its turn has come, and nothing of this round was sent.
    Unasked,
    /// In flight, or in a backoff that has a time.
    Waits,
    /// The last attempt failed, and the next is due now, if the budget has one.
    Due,
    /// Of a closing step: told, or left out.
    Done,
    Refused,
    GivenUp,
}

impl Draft<'_> {
    /// Does whatever follows until the saga waits for something, rests or has ended. Does nothing while it is held.
    pub(super) fn drive(&mut self) {
        while self.saga.hold.is_none() && !self.saga.phase.is_final() {
            let Some(question) = self.question() else {
                self.nothing_left();
                continue;
            };
            match self.progress(question) {
                Progress::Waits => return,
                Progress::Unasked => return self.send(question),
                Progress::Due if self.budget_left(question) => return self.send(question),
                Progress::Due => self.give_up(question),
                Progress::Done => self.closed(),
                Progress::Refused | Progress::GivenUp => self.cannot_go_on(question),
            }
        }
    }

    /// No question is open: the phase is over.
    fn nothing_left(&mut self) {
        match self.saga.phase {
            Phase::Forward => self.end(Phase::Completed),
            Phase::Unwinding => self.begin_closing(),
            Phase::Closing => self.closed(), // a definition without a closing step
            Phase::Completed | Phase::Compensated | Phase::Resolved => {} // final: nothing follows
        }
    }

    fn progress(&self, question: Question) -> Progress {
        let step = self.saga.step(question.step);
        let running = |flight| match flight {
            Flight::Sent { .. } | Flight::Backoff { until: Some(_) } => Progress::Waits,
            Flight::Backoff { until: None } | Flight::None => Progress::Due,
        };
        match (question.kind, &step.undo) {
            (Kind::Compensate, Some(undo)) => match undo.status {
                UndoStatus::Pending => Progress::Unasked,
                UndoStatus::Running => running(undo.course.flight),
                UndoStatus::Succeeded | UndoStatus::Waived => Progress::Done,
                UndoStatus::Failed if undo.course.recorded.rejected => Progress::Refused,
                UndoStatus::Failed => Progress::GivenUp,
            },
            (Kind::Compensate, None) => Progress::Done, // nothing owed: not a question at all
            (Kind::Action, _) => match step.status {
                StepStatus::Pending => Progress::Unasked,
                StepStatus::Running => running(step.action.flight),
                StepStatus::Succeeded | StepStatus::Skipped => Progress::Done,
                StepStatus::Rejected => Progress::Refused,
                StepStatus::Unknown => Progress::GivenUp,
            },
        }
    }

    /// A question was refused or given up: before and at the pivot that turns the saga back, elsewhere it rests.
    fn cannot_go_on(&mut self, question: Question) {
        if self.turns_back(question.step) {
            // Refused while the saga was held: the failure and its events are in that row.
            let why = self.refusal(question);
            self.turn_back(why);
        } else {
            let cause = self.cause(question);
            self.get_stuck(cause, self.message(question));
        }
    }

    /// Whether the failure of this step, in hand, turns the saga back.
    pub(super) fn turns_back(&self, step: StepIndex) -> bool {
        self.saga.phase == Phase::Forward && self.def(step).undoable()
    }

    /// Why a saga whose `question` was refused or given up is stuck.
    pub(super) fn cause(&self, question: Question) -> StuckCause {
        match (self.saga.phase, question.kind, self.progress(question)) {
            (_, Kind::Compensate, Progress::Refused) => StuckCause::UndoRefused,
            (_, Kind::Compensate, _) => StuckCause::UndoFailed,
            (Phase::Closing, Kind::Action, _) => StuckCause::NotifyFailed,
            (_, Kind::Action, Progress::Refused) => StuckCause::Rejected,
            (_, Kind::Action, _) => StuckCause::Exhausted,
        }
    }

    /// The sentence that goes with [`Self::cause`].
    pub(super) fn message(&self, question: Question) -> String {
        let name = &self.def(question.step).name;
        let what = match question.kind {
            Kind::Action => "action",
            Kind::Compensate => "compensation",
        };
        let course = self.saga.course(question);
        let attempts = course.map_or(0, |course| course.attempts);
        let last = match course.and_then(|course| course.error.as_ref()) {
            Some(Failure { code, message }) if message.is_empty() => code.clone(),
            Some(Failure { code, message }) => format!("{code}: {message}"),
            None => "no error was given".to_owned(),
        };
        match self.progress(question) {
            Progress::Refused => format!("the {what} of {name} was refused ({last})"),
            Progress::GivenUp | Progress::Due | Progress::Unasked | Progress::Waits | Progress::Done => {
                format!("the {what} of {name} has no clear answer after {attempts} attempts ({last})")
            }
        }
    }

    /// Comes to rest, or changes why it rests. What is left of the deadline stands still, a backoff has no end.
    pub(super) fn get_stuck(&mut self, cause: StuckCause, message: String) {
        let question = self.question();
        let since = match &self.saga.hold {
            Hold::Stuck(stuck) => stuck.since,
            Hold::None | Hold::Paused { .. } => self.now,
        };
        let step = question.map(|question| question.step);
        self.saga.hold = Hold::Stuck(Stuck { cause, step, since, message });
        self.stand_still();
        self.data.stuck = Some(cause);
    }

    /// Disarms the timers: the deadline keeps what is left of it, a backoff loses its time.
    pub(super) fn stand_still(&mut self) {
        self.saga.deadline = self.saga.deadline.held(self.now);
        if let Some(question) = self.question() {
            let course = self.course_mut(question);
            if let Flight::Backoff { .. } = course.flight {
                course.flight = Flight::Backoff { until: None };
            }
        }
    }

    /// Is held no more.
    pub(super) fn let_go(&mut self) {
        self.saga.hold = Hold::None;
        self.saga.deadline = self.saga.deadline.released(self.now);
    }
}
