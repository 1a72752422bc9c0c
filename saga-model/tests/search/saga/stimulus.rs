//! What can happen to a saga, as a small word, and the event that the machine is given for it.

use saga_model::Definition;
use saga_model::definition::StepIndex;
use saga_model::event::{Actor, Event, Reply, Verb};
use saga_model::ids::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{CommandRef, Failure, Kind, Outcome, Saga, Secret};
use saga_model::wire;

use super::worker::{Answer, Command};

pub const SECRET: Secret = Secret(7);

/// One thing that happens to a saga.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stimulus {
    Reply {
        step: u8,
        answer: Answer,
    },
    /// The command in flight is not answered in time.
    NoAnswer,
    BackoffOver,
    Deadline,
    Verb(Ask),
    EngineFails,
}

/// What an operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    Cancel,
    Compensate,
    Pause,
    Resume,
    Replay,
    /// From the step in hand, by name.
    ReplayFromHand,
    ReplayWithInput,
    /// The step in hand.
    Skip,
    Resolve,
}

impl Ask {
    pub const ALL: [Self; 9] = [
        Self::Cancel,
        Self::Compensate,
        Self::Pause,
        Self::Resume,
        Self::Replay,
        Self::ReplayFromHand,
        Self::ReplayWithInput,
        Self::Skip,
        Self::Resolve,
    ];

    pub fn verb(self, definition: &Definition, saga: &Saga) -> Verb {
        let in_hand = saga.question(definition).map_or(StepIndex(0), |question| question.step);
        let name = || definition.step(in_hand).name.clone();
        match self {
            Self::Cancel => Verb::Cancel,
            Self::Compensate => Verb::Compensate,
            Self::Pause => Verb::Pause,
            Self::Resume => Verb::Resume,
            Self::Replay => Verb::Replay { from_step: None, input: None },
            Self::ReplayFromHand => Verb::Replay { from_step: Some(name()), input: None },
            Self::ReplayWithInput => Verb::Replay { from_step: None, input: json(r#"{"other":1}"#) },
            Self::Skip => Verb::Skip { step: name() },
            Self::Resolve => Verb::Resolve,
        }
    }
}

/// The event of a verb.
pub fn asked(verb: Verb) -> Event {
    Event::Verb { verb, reason: "a reason".to_owned() }
}

/// The id of the one saga.
pub fn id() -> SagaId {
    SagaId::from(uuid::Uuid::from_u128(1))
}

/// The event that `stimulus` is to `saga`.
pub fn event_of(definition: &Definition, saga: &Saga, stimulus: Stimulus) -> Event {
    // A timer goes off only where it is armed, and then the saga has a command.
    let first = CommandRef { step: StepIndex(0), kind: Kind::Action, round: 1, attempt: 1 };
    let command = || saga.command(definition).unwrap_or(first);
    match stimulus {
        Stimulus::Reply { step, answer } => reply(definition, step, answer),
        Stimulus::NoAnswer => Event::NoAnswer(command()),
        Stimulus::BackoffOver => Event::BackoffOver(command()),
        Stimulus::Deadline => Event::DeadlinePassed,
        Stimulus::Verb(ask) => asked(ask.verb(definition, saga)),
        Stimulus::EngineFails => Event::EngineFailed { message: "the disk is full".to_owned() },
    }
}

pub fn actor_of(stimulus: Stimulus) -> Actor {
    match stimulus {
        Stimulus::Reply { .. } => Actor::Worker,
        Stimulus::NoAnswer | Stimulus::BackoffOver | Stimulus::Deadline => Actor::Timer,
        Stimulus::Verb(_) => Actor::Key("ops".to_owned()),
        Stimulus::EngineFails => Actor::Engine,
    }
}

fn reply(definition: &Definition, step: u8, answer: Answer) -> Event {
    let Answer { to: Command { kind, round, attempt }, outcome, undone } = answer;
    let step = StepIndex(step);
    let (round, attempt) = (u32::from(round), u32::from(attempt));
    let output = match (outcome, kind, undone) {
        (Outcome::Succeeded, Kind::Action, _) => json(r#"{"done":1}"#),
        (Outcome::Succeeded, Kind::Compensate, true) => json(r#"{"undone":true}"#),
        (Outcome::Succeeded, Kind::Compensate, false) => json(r#"{"undone":false}"#),
        (Outcome::Rejected | Outcome::Retryable | Outcome::Unknown, _, _) => None,
    };
    let error = match outcome {
        Outcome::Succeeded => None,
        Outcome::Rejected => Some(Failure::new("NO", "no")),
        Outcome::Retryable => Some(Failure::new("BUSY", "not now")),
        Outcome::Unknown => Some(Failure::new("LOST", "who knows")),
    };
    let token = wire::token(SECRET, &definition.step(step).name, kind, round);
    Event::Reply(Reply { step, kind, round, attempt, token, outcome, output, error, partition: 0, offset: 0 })
}

fn json(text: &str) -> Option<RawJson> {
    RawJson::from_string(text.to_owned()).ok()
}
