//! Why a verb was refused, as its operator is told.

use saga_model::advance::Refused;

/// The public code of a refused verb.
pub fn code(refused: &Refused) -> &'static str {
    match refused {
        Refused::ActionNotAllowed { .. } => "ACTION_NOT_ALLOWED",
        Refused::StepNotReplayable { .. } => "STEP_NOT_REPLAYABLE",
        Refused::EffectMayStand => "EFFECT_MAY_STAND",
        // A field of the request is wrong, and it took the saga to see it.
        Refused::UnknownStep { .. } | Refused::InputTooLarge => "VALIDATION_FAILED",
    }
}

/// What is wrong, in words.
pub fn explain(refused: &Refused) -> String {
    match refused {
        Refused::ActionNotAllowed { action, available } if available.is_empty() => {
            format!("{action:?} is not possible: nothing can be done to this saga any more").to_lowercase()
        }
        Refused::ActionNotAllowed { action, available } => {
            format!("{action:?} is not possible now; possible: {available:?}").to_lowercase()
        }
        Refused::StepNotReplayable { step } => format!("{step:?} is not the step in hand; leave fromStep out"),
        Refused::UnknownStep { step } => format!("the definition has no step {step:?}"),
        Refused::EffectMayStand => {
            "an effect of this step may stand, so its input cannot be changed; replay it without input".to_owned()
        }
        Refused::InputTooLarge => "with this input the saga would grow too big".to_owned(),
    }
}
