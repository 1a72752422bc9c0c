//! `advance`: the one function that changes a saga.

use crate::definition::Definition;
use crate::effect::Effect;
use crate::event::{Action, Actor, Event};
use crate::history::Row;
use crate::micros::Micros;
use crate::state::{Saga, StuckCause};

/// A saga may not grow over this many bytes (outputs, inputs and errors); it is stuck `TOO_BIG` instead.
pub const MAX_SAGA_BYTES: usize = 512 * 1024;

/// What became of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Advance {
    /// A transition: commit the saga and its row, then do the effects, in order.
    Changed(Box<Transition>),
    /// Nothing changes, and that is right.
    Ignored(Ignored),
    /// An operator's verb is refused, nothing changes.
    Refused(Refused),
    /// A reply that cannot be genuine: a dead letter, nothing changes.
    DeadLetter(Foreign),
}

/// A saga after an event, with its row and what has to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    pub saga: Saga,
    pub row: Row,
    pub effects: Vec<Effect>,
}

/// Why an event changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ignored {
    /// The same answer is already recorded.
    Duplicate,
    /// An answer to a question no longer asked, which already has its `ReplyIgnored` row.
    Late,
    /// A RETRYABLE or UNKNOWN of an earlier attempt, or a repeat of one.
    Stale,
    /// A timer that was disarmed or belongs to an earlier attempt.
    SpuriousTimer,
    /// A saga of this id exists already.
    AlreadyStarted,
    /// An engine failure of a saga that has ended or is stuck already.
    AtRest,
}

/// Why a verb is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    ActionNotAllowed {
        action: Action,
        available: Vec<Action>,
    },
    /// `replay` from another step than the one in hand.
    StepNotReplayable {
        step: String,
    },
    /// `skip` of a name that the definition lacks.
    UnknownStep {
        step: String,
    },
    /// `replay` with an input for a step whose effect may stand.
    EffectMayStand,
}

/// Why a reply cannot be genuine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Foreign {
    /// Its step, kind or round was not sent yet.
    FutureStep,
    WrongToken,
    FutureAttempt,
}

/// Applies `event` to `saga` (none before [`Event::Submitted`]) at the time `now`.
pub fn advance(definition: &Definition, saga: Option<&Saga>, event: &Event, actor: &Actor, now: Micros) -> Advance {
    let _ = (definition, saga, event, actor, now, StuckCause::Rejected);
    Advance::Ignored(Ignored::SpuriousTimer)
}
