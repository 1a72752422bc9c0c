//! Why a verb was refused, as its operator is told.

use saga_model::advance::Refused;

/// The public code of a refused verb.
pub fn code(refused: &Refused) -> &'static str {
    match refused {
        Refused::ActionNotAllowed { .. } => "ACTION_NOT_ALLOWED",
        Refused::StepNotReplayable { .. } => "STEP_NOT_REPLAYABLE",
        Refused::EffectMayStand => "EFFECT_MAY_STAND",
        // A field of the request is wrong, and it took the saga to see it.
        Refused::UnknownStep { .. } => "VALIDATION_FAILED",
        Refused::InputTooLarge => "PAYLOAD_TOO_LARGE",
    }
}
