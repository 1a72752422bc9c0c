//! Trouble of the engine's own: a transition that it could not apply or store, a saga that grew too big.

use super::draft::{Draft, Head};
use super::{Advance, Ignored, MAX_SAGA_BYTES};
use crate::definition::Definition;
use crate::event::Actor;
use crate::history::RowKind;
use crate::micros::Micros;
use crate::state::{CommandRef, Failure, Hold, Outcome, Saga, StuckCause};

/// The engine could not apply or store a transition: the saga rests in plain sight.
pub(super) fn failed(definition: &Definition, saga: &Saga, message: &str, actor: &Actor, now: Micros) -> Advance {
    if saga.phase.is_final() || matches!(saga.hold, Hold::Stuck(_)) {
        return Advance::Ignored(Ignored::AtRest);
    }
    let head = Head::about(RowKind::EngineFailed, saga.command(definition));
    let mut draft = Draft::of(definition, saga, head, now);
    draft.data.error = Some(Failure::new("ENGINE_ERROR", message));
    draft.get_stuck(StuckCause::EngineError, message.to_owned());
    draft.finish(actor)
}

/// A reply that would make the saga too big: it is dropped, and the saga rests. A worker asked again may answer less.
pub(super) fn oversized(
    definition: &Definition,
    saga: &Saga,
    command: CommandRef,
    outcome: Outcome,
    actor: &Actor,
    now: Micros,
) -> Advance {
    let already = matches!(&saga.hold, Hold::Stuck(stuck) if stuck.cause == StuckCause::TooBig);
    if saga.phase.is_final() || already {
        return Advance::Ignored(Ignored::AtRest);
    }
    let message = format!("a reply was dropped: with it the saga would be over {MAX_SAGA_BYTES} bytes");
    let mut draft = Draft::of(definition, saga, Head::about(RowKind::EngineFailed, Some(command)), now);
    draft.data.kind = Some(command.kind);
    draft.data.outcome = Some(outcome);
    draft.data.error = Some(Failure::new("TOO_BIG", message.as_str()));
    draft.get_stuck(StuckCause::TooBig, message);
    draft.finish(actor)
}
