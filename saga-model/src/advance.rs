//! `advance`: the one function that changes a saga.

mod closing;
mod draft;
mod drive;
mod engine;
mod forward;
mod reply;
mod timer;
mod unwind;
mod verbs;

use crate::definition::Definition;
use crate::effect::Effect;
use crate::event::{Action, Actor, Event};
use crate::history::Row;
use crate::micros::Micros;
use crate::state::Saga;
use draft::Draft;

pub use verbs::{available_actions, judge};

/// The behaviour of this machine, written into the first row of each saga; numbers are never used again.
pub const BEHAVIOUR: u32 = 1;

/// A saga may not grow over this many bytes ([`Saga::bytes`]); it is stuck `TOO_BIG` instead.
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
    /// There is no saga that this could happen to.
    NoSuchSaga,
    /// An engine failure of a saga that has ended or is stuck already.
    AtRest,
}

/// Why a verb is refused, in a sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("{}", not_allowed(*action, available))]
    ActionNotAllowed { action: Action, available: Vec<Action> },
    /// `replay` from another step than the one in hand.
    #[error("{step:?} is not the step in hand; leave fromStep out")]
    StepNotReplayable { step: String },
    /// `skip` of a name that the definition lacks.
    #[error("the definition has no step {step:?}")]
    UnknownStep { step: String },
    /// `replay` with an input for a step whose effect may stand, or that others were told of.
    #[error("an effect of this step may stand, so its input cannot be changed; replay it without input")]
    EffectMayStand,
    /// `replay` with an input that would take the saga over [`MAX_SAGA_BYTES`].
    #[error("with this input the saga would grow too big")]
    InputTooLarge,
}

fn not_allowed(action: Action, available: &[Action]) -> String {
    if available.is_empty() {
        let action = action.as_str();
        return format!("{action} is not possible: nothing can be done to this saga any more");
    }
    if available.contains(&action) {
        return format!(
            "{action} is possible now, but not of this step: another one is in hand",
            action = action.as_str()
        );
    }
    let available: Vec<&str> = available.iter().map(|action| action.as_str()).collect();
    format!("{} is not possible now; possible: [{}]", action.as_str(), available.join(", "))
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
///
/// Every event is first *recorded* in a copy of the saga; then one function, `drive`, looks at the copy and does
/// whatever follows from it. A verb that lets a saga go on calls the same function, so a consequence that waited
/// is the consequence that would have come at once.
pub fn advance(definition: &Definition, saga: Option<&Saga>, event: &Event, actor: &Actor, now: Micros) -> Advance {
    let Some(saga) = saga else {
        return match event {
            Event::Submitted { id, secret } => Draft::submit(definition, *id, *secret, now).finish(actor),
            Event::Reply(_)
            | Event::NoAnswer(_)
            | Event::BackoffOver(_)
            | Event::DeadlinePassed
            | Event::Verb { .. }
            | Event::EngineFailed { .. }
            | Event::Oversized { .. } => Advance::Ignored(Ignored::NoSuchSaga),
        };
    };
    match event {
        Event::Submitted { .. } => Advance::Ignored(Ignored::AlreadyStarted),
        Event::Reply(answer) => reply::apply(definition, saga, answer, actor, now),
        Event::NoAnswer(command) => timer::no_answer(definition, saga, *command, actor, now),
        Event::BackoffOver(command) => timer::backoff_over(definition, saga, *command, actor, now),
        Event::DeadlinePassed => timer::deadline_passed(definition, saga, actor, now),
        Event::Verb { verb, reason } => verbs::apply(definition, saga, verb, reason, actor, now),
        Event::EngineFailed { message } => engine::failed(definition, saga, message, actor, now),
        Event::Oversized { command, outcome } => engine::oversized(definition, saga, *command, *outcome, actor, now),
    }
}
