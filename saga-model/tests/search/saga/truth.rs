//! What must be true outside: the effects that stand, held against what the saga says.

use saga_model::Definition;
use saga_model::state::{OrderStatus, Phase, Saga, StepStatus, UndoStatus};

use super::worker::Worker;

/// # Errors
/// What the saga says and the world does not bear out.
pub fn check(definition: &Definition, saga: &Saga, workers: &[Worker]) -> Result<(), String> {
    for ((step, def), worker) in definition.steps().zip(workers).filter(|((_, def), _)| def.undoable()) {
        let state = saga.step(step);
        let stands = worker.stands();
        let undo = state.undo.as_ref().map(|undo| undo.status);
        let pivot_stands = saga.phase == Phase::Resolved
            && saga.order == OrderStatus::Confirmed
            && definition.pivot() == Some(step)
            && undo.is_none();
        let promised = match saga.phase {
            // What is recorded as done is done, once.
            Phase::Forward | Phase::Completed => (state.status == StepStatus::Succeeded).then_some(1),
            Phase::Unwinding | Phase::Closing => None,
            Phase::Compensated => Some(0),
            Phase::Resolved if pivot_stands => Some(1),
            // What an operator waived by name is theirs.
            Phase::Resolved if saga.order == OrderStatus::Cancelled && undo != Some(UndoStatus::Waived) => Some(0),
            Phase::Resolved => None,
        };
        if let Some(promised) = promised.filter(|promised| *promised != stands) {
            let name = &def.name;
            let phase = format!("{:?}", saga.phase).to_uppercase();
            return Err(match promised {
                0 => format!("the saga is {phase}, and the effect of {name} stands"),
                _ => format!("the saga is {phase}, and the effect of {name} stands {stands} times"),
            });
        }
    }
    Ok(())
}
