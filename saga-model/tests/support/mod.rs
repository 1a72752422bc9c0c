//! A saga under test: it is driven by name, and everything that happens to it is checked on the way.
#![allow(dead_code)] // each test file uses its own part

pub mod definitions;
pub mod script;

use saga_model::advance::{Advance, Foreign, Ignored, Refused, Transition, advance};
use saga_model::definition::StepIndex;
use saga_model::effect::Effect;
use saga_model::event::{Actor, Event, Reply, Verb};
use saga_model::history::{Row, RowKind};
use saga_model::json::RawJson;
use saga_model::micros::Micros;
use saga_model::state::{CommandRef, Failure, Kind, OrderStatus, Outcome, Saga, SagaStatus, Secret, WakeUp};
use saga_model::{Definition, wire};

pub const SECRET: Secret = Secret(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
pub const ID: &str = "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
/// 2026-11-25T09:36:03Z
pub const START: Micros = Micros(1_795_599_363_000_000);

/// What a worker says to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    Done,
    /// To a compensation: there was an effect.
    Undone,
    /// To a compensation: there was none.
    NothingToUndo,
    No(&'static str),
    Again(&'static str),
    Perhaps,
    /// Nothing at all: the step times out.
    Silence,
}

impl Say {
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Say::Done | Say::Undone | Say::NothingToUndo => Some(Outcome::Succeeded),
            Say::No(_) => Some(Outcome::Rejected),
            Say::Again(_) => Some(Outcome::Retryable),
            Say::Perhaps => Some(Outcome::Unknown),
            Say::Silence => None,
        }
    }

    pub fn output(self) -> Option<RawJson> {
        let text = match self {
            Say::Done => r#"{"reference":"R-1"}"#,
            Say::Undone => r#"{"undone":true}"#,
            Say::NothingToUndo => r#"{"undone":false}"#,
            Say::No(_) | Say::Again(_) | Say::Perhaps | Say::Silence => return None,
        };
        Some(RawJson::from_string(text.to_owned()).unwrap())
    }

    pub fn error(self) -> Option<Failure> {
        match self {
            Say::No(code) | Say::Again(code) => Some(Failure::new(code, "because")),
            Say::Done | Say::Undone | Say::NothingToUndo | Say::Perhaps | Say::Silence => None,
        }
    }
}

/// A saga, its history, and the sum of its effects.
#[derive(Clone)]
pub struct Run {
    pub definition: Definition,
    pub saga: Saga,
    pub rows: Vec<Row>,
    pub effects: Vec<Effect>,
    pub now: Micros,
}

impl Run {
    pub fn start(definition: Definition) -> Self {
        let event = Event::Submitted { id: ID.parse().unwrap(), secret: SECRET };
        let actor = Actor::Key("anonymous".to_owned());
        match advance(&definition, None, &event, &actor, START) {
            Advance::Changed(made) => {
                let Transition { saga, row, effects } = *made;
                Self { definition, saga, rows: vec![row], effects, now: START }
            }
            other => panic!("a submission starts a saga: {other:?}"),
        }
    }

    /// Applies an event a second later.
    pub fn apply(&mut self, event: &Event) -> Advance {
        let actor = match event {
            Event::Submitted { .. } | Event::Verb { .. } => Actor::Key("ops".to_owned()),
            Event::Reply(_) | Event::Oversized { .. } => Actor::Worker,
            Event::NoAnswer(_) | Event::BackoffOver(_) | Event::DeadlinePassed => Actor::Timer,
            Event::EngineFailed { .. } => Actor::Engine,
        };
        self.now = self.now.plus(1_000_000);
        let made = advance(&self.definition, Some(&self.saga), event, &actor, self.now);
        if let Advance::Changed(made) = &made {
            self.saga = made.saga.clone();
            self.rows.push(made.row.clone());
            self.effects.extend(made.effects.iter().cloned());
        }
        made
    }

    /// Applies an event that must be a transition.
    pub fn go(&mut self, event: &Event) -> &Row {
        match self.apply(event) {
            Advance::Changed(_) => self.rows.last().unwrap(),
            other => panic!(
                "{event:?} changes nothing: {other:?} of {}",
                saga_model::render::state(&self.definition, &self.saga)
            ),
        }
    }

    pub fn step(&self, name: &str) -> StepIndex {
        self.definition.find(name).unwrap_or_else(|| panic!("there is a step {name}"))
    }

    /// A command by name.
    pub fn command(&self, step: &str, kind: Kind, round: u32, attempt: u32) -> CommandRef {
        CommandRef { step: self.step(step), kind, round, attempt }
    }

    /// The genuine reply to `command` that says `say`.
    pub fn reply(&self, command: CommandRef, say: Say) -> Event {
        let name = &self.definition.step(command.step).name;
        Event::Reply(Reply {
            step: command.step,
            kind: command.kind,
            round: command.round,
            attempt: command.attempt,
            token: wire::token(SECRET, name, command.kind, command.round),
            outcome: say.outcome().expect("silence is no reply"),
            output: say.output(),
            error: say.error(),
            partition: 3,
            offset: 42,
        })
    }

    /// The command in flight.
    pub fn in_flight(&self) -> CommandRef {
        match self.saga.wake_up(&self.definition) {
            Some(WakeUp::Reply { command, .. }) => command,
            other => panic!("a command is in flight: {other:?}"),
        }
    }

    /// The command in flight is answered so.
    pub fn answer(&mut self, say: Say) -> &Row {
        let command = self.in_flight();
        let event = match say {
            Say::Silence => Event::NoAnswer(command),
            said => self.reply(command, said),
        };
        self.go(&event)
    }

    /// The backoff ends.
    pub fn retry(&mut self) -> &Row {
        match self.saga.wake_up(&self.definition) {
            Some(WakeUp::Backoff { command, .. }) => self.go(&Event::BackoffOver(command)),
            other => panic!("it is in backoff: {other:?}"),
        }
    }

    pub fn verb(&mut self, verb: Verb) -> &Row {
        self.go(&Event::Verb { verb, reason: "a reason".to_owned() })
    }

    pub fn refused(&mut self, verb: Verb) -> Refused {
        match self.apply(&Event::Verb { verb: verb.clone(), reason: "a reason".to_owned() }) {
            Advance::Refused(why) => why,
            other => panic!("{verb:?} is refused: {other:?}"),
        }
    }

    pub fn ignored(&mut self, event: &Event) -> Ignored {
        match self.apply(event) {
            Advance::Ignored(why) => why,
            other => panic!("{event:?} is ignored: {other:?}"),
        }
    }

    pub fn dead_letter(&mut self, event: &Event) -> Foreign {
        match self.apply(event) {
            Advance::DeadLetter(why) => why,
            other => panic!("{event:?} is a dead letter: {other:?}"),
        }
    }

    /// The worker and the clock go on, by the script, until the saga rests or the script ends (`None`).
    pub fn play(&mut self, mut script: impl FnMut(&str, CommandRef) -> Option<Say>) {
        while !self.saga.at_rest() {
            match self.saga.wake_up(&self.definition) {
                Some(WakeUp::Reply { command, .. }) => {
                    let name = self.definition.step(command.step).name.clone();
                    let Some(say) = script(&name, command) else { return };
                    self.answer(say);
                }
                Some(WakeUp::Backoff { .. }) => {
                    self.retry();
                }
                None => panic!("a live saga has a wake-up"),
            }
        }
    }

    pub fn status(&self) -> SagaStatus {
        self.saga.status()
    }

    /// The kinds of the rows from `seq` on, in short.
    pub fn kinds(&self, seq: u32) -> Vec<&'static str> {
        self.rows.iter().filter(|row| row.seq >= seq).map(|row| short(row.kind)).collect()
    }

    /// All domain events, in order.
    pub fn topics(&self) -> Vec<&str> {
        let topics = self.effects.iter().filter_map(|effect| match effect {
            Effect::Emit { topic, .. } => Some(topic.as_str()),
            Effect::Send(_) | Effect::Finish(_) => None,
        });
        topics.collect()
    }

    /// The commands that were sent, as `step KIND round attempt`.
    pub fn sent(&self) -> Vec<String> {
        let sent = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send(command) => Some(self.named(*command)),
            Effect::Emit { .. } | Effect::Finish(_) => None,
        });
        sent.collect()
    }

    pub fn named(&self, command: CommandRef) -> String {
        let CommandRef { step, kind, round, attempt } = command;
        format!("{} {kind:?} {round} {attempt}", self.definition.step(step).name)
    }

    pub fn failure_code(&self) -> Option<&str> {
        self.saga.failure.as_ref().map(|failure| failure.why.code.as_str())
    }

    pub fn order(&self) -> OrderStatus {
        self.saga.order
    }
}

/// A row kind as the tables abbreviate it.
pub fn short(kind: RowKind) -> &'static str {
    match kind {
        RowKind::SagaStarted => "SagaStarted",
        RowKind::StepSucceeded => "SS",
        RowKind::StepRejected => "SR",
        RowKind::AttemptFailed => "AF",
        RowKind::AttemptStarted => "AS",
        RowKind::StepUnknown => "SU",
        RowKind::DeadlinePassed => "DP",
        RowKind::CompensationSucceeded => "CS",
        RowKind::CompensationAttemptFailed => "CAF",
        RowKind::CompensationFailed => "CF",
        RowKind::ReplyIgnored => "RI",
        RowKind::OperatorActed => "OA",
        RowKind::EngineFailed => "EF",
    }
}

pub fn replay() -> Verb {
    Verb::Replay { from_step: None, input: None }
}

pub fn skip(step: &str) -> Verb {
    Verb::Skip { step: step.to_owned() }
}
