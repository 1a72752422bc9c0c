//! A transition while it is made: the copy of the saga, its row, and what has to be done.

use super::{Advance, BEHAVIOUR, Transition};
use crate::definition::{Definition, StepDef, StepIndex};
use crate::effect::Effect;
use crate::event::Actor;
use crate::history::{Emitted, NextCommand, Row, RowData, RowKind};
use crate::ids::SagaId;
use crate::micros::Micros;
use crate::state::{
    CommandRef, Course, Deadline, Failure, Flight, Hold, Kind, OrderStatus, Phase, Question, Saga, Secret, Step,
    StepStatus, UndoStatus,
};

/// A transition in the making.
pub(super) struct Draft<'d> {
    pub(super) definition: &'d Definition,
    pub(super) saga: Saga,
    pub(super) now: Micros,
    pub(super) data: RowData,
    head: Head,
    send: Option<CommandRef>,
}

/// The columns of a row.
#[derive(Clone, Copy)]
pub(super) struct Head {
    kind: RowKind,
    step: Option<StepIndex>,
    round: Option<u32>,
    attempt: Option<u32>,
}

impl Head {
    /// A row of that kind about `command`; an attempt of 0 was never sent and is none.
    pub(super) fn about(kind: RowKind, command: Option<CommandRef>) -> Self {
        Self {
            kind,
            step: command.map(|command| command.step),
            round: command.map(|command| command.round),
            attempt: command.map(|command| command.attempt).filter(|attempt| *attempt > 0),
        }
    }
}

impl<'d> Draft<'d> {
    /// Begins a transition of `saga`: the one place that copies it.
    pub(super) fn of(definition: &'d Definition, saga: &Saga, head: Head, now: Micros) -> Self {
        Self { definition, saga: saga.clone(), now, data: RowData::default(), head, send: None }
    }

    /// A new saga, on its way.
    pub(super) fn submit(definition: &'d Definition, id: SagaId, secret: Secret, now: Micros) -> Self {
        let saga = Saga {
            id,
            secret,
            phase: Phase::Forward,
            hold: Hold::None,
            steps: definition.steps().map(|_| Step::pending()).collect(),
            order: OrderStatus::Created,
            deadline: Deadline::At(now.plus(definition.policy().saga_deadline.micros())),
            failure: None,
            revision: 0,
            created_at: now,
            updated_at: now,
            ignored: Vec::new(),
        };
        let data = RowData { behaviour: Some(BEHAVIOUR), ..RowData::default() };
        let head = Head::about(RowKind::SagaStarted, None);
        let mut draft = Self { definition, saga, now, data, head, send: None };
        draft.emit(definition.blueprint().events.started.as_ref(), None);
        draft.drive();
        draft
    }

    /// The transition, complete.
    pub(super) fn finish(mut self, actor: &Actor) -> Advance {
        self.saga.revision += 1;
        if self.head.kind != RowKind::ReplyIgnored {
            self.saga.updated_at = self.now;
        }
        let emitted = self.data.emit.iter().cloned().map(|Emitted { topic, reason }| Effect::Emit { topic, reason });
        let sent = self.send.map(Effect::Send);
        let effects = emitted.chain(sent).chain(self.data.ended.map(Effect::Finish)).collect();
        let Head { kind, step, round, attempt } = self.head;
        let (seq, at, actor) = (self.saga.revision, self.now, actor.clone());
        let row = Row { seq, at, kind, step, round, attempt, data: self.data, actor };
        Advance::Changed(Box::new(Transition { saga: self.saga, row, effects }))
    }

    /// Says what the row is about once that is known: an attempt that uses up a budget has another kind of row
    /// than one that does not, a backoff that ends has the attempt that it starts.
    pub(super) fn retitle(&mut self, head: Head) {
        self.head = head;
    }

    pub(super) fn question(&self) -> Option<Question> {
        self.saga.question(self.definition)
    }

    pub(super) fn step_in_hand(&self) -> StepIndex {
        self.saga.step_in_hand(self.definition)
    }

    pub(super) fn def(&self, index: StepIndex) -> &'d StepDef {
        self.definition.step(index)
    }

    pub(super) fn step_mut(&mut self, index: StepIndex) -> &mut Step {
        &mut self.saga.steps[usize::from(index.0)]
    }

    /// The course of a question of this saga. A compensation that is not owed is never asked for, so the course
    /// of the action, its nearest relative, stands in for one that cannot be missing.
    pub(super) fn course_mut(&mut self, question: Question) -> &mut Course {
        let step = self.step_mut(question.step);
        match (question.kind, &mut step.undo) {
            (Kind::Compensate, Some(undo)) => &mut undo.course,
            (Kind::Compensate, None) | (Kind::Action, _) => &mut step.action,
        }
    }

    /// Whether the present budget of `question` has an attempt left.
    pub(super) fn budget_left(&self, question: Question) -> bool {
        let budget = match question.kind {
            Kind::Action => self.definition.attempts(question.step),
            Kind::Compensate => self.definition.compensation_attempts(question.step),
        };
        self.saga.course(question).is_some_and(|course| course.budget_used < budget)
    }

    /// Sends the next attempt of `question`.
    pub(super) fn send(&mut self, question: Question) {
        let now = self.now;
        let course = self.course_mut(question);
        course.attempts += 1;
        course.budget_used += 1;
        course.flight = Flight::Sent { at: now };
        course.started_at.get_or_insert(now);
        course.finished_at = None;
        let (round, attempt) = (course.round, course.attempts);
        let step = self.step_mut(question.step);
        match (question.kind, &mut step.undo) {
            (Kind::Compensate, Some(undo)) => undo.status = UndoStatus::Running,
            (Kind::Compensate, None) | (Kind::Action, _) => step.status = StepStatus::Running,
        }
        let command = CommandRef { step: question.step, kind: question.kind, round, attempt };
        self.data.next = Some(NextCommand::new(&self.def(question.step).name, command));
        self.send = Some(command);
    }

    /// Publishes a domain event, if the definition has that one.
    pub(super) fn emit(&mut self, topic: Option<&String>, reason: Option<Failure>) {
        self.data.emit.extend(topic.map(|topic| Emitted { topic: topic.clone(), reason }));
    }

    /// Ends the saga.
    pub(super) fn end(&mut self, phase: Phase) {
        self.saga.phase = phase;
        self.saga.hold = Hold::None;
        self.saga.deadline = Deadline::None;
        self.data.ended = Some(phase);
    }
}
