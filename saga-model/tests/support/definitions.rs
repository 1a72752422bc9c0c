//! Definitions to test with.

use saga_model::Definition;
use saga_model::catalog::order;
use saga_model::definition::{Blueprint, InputForm, Policy, SagaEvents, StepClass, StepDef, StepEvents};
use saga_model::micros::Millis;

/// The defaults of `serve`.
pub fn policy() -> Policy {
    Policy {
        step_timeout: Millis(10_000),
        step_attempts: 5,
        compensation_attempts: 10,
        retry_base: Millis(500),
        retry_cap: Millis(30_000),
        saga_deadline: Millis(86_400_000),
    }
}

pub fn order() -> Definition {
    Definition::new(order::blueprint(), policy()).unwrap()
}

/// A definition in short: one letter a step, `U`ndoable, `P`ivot, `R`etriable, `Z` closing. Steps are named by
/// letter and place: `u0`, `u1`, `p2`, `r3`, `z4`. Small budgets, so that they are used up soon.
pub fn short(classes: &str) -> Definition {
    let step = |(place, letter): (usize, char)| {
        let name = format!("{}{place}", letter.to_ascii_lowercase());
        let topic = |what: &str| Some(format!("{name}.{what}"));
        let class = match letter {
            'U' => StepClass::Undoable,
            'P' => StepClass::Pivot,
            'R' | 'Z' => StepClass::Retriable,
            other => panic!("a step is one of U, P, R and Z, not {other}"),
        };
        let events = match class {
            StepClass::Undoable | StepClass::Pivot => {
                StepEvents { succeeded: topic("done"), failed: topic("failed"), undone: topic("undone") }
            }
            StepClass::Retriable => StepEvents { succeeded: topic("done"), ..StepEvents::default() },
        };
        StepDef {
            class,
            closing: letter == 'Z',
            topic: "commands".to_owned(),
            events,
            timeout: None,
            attempts: None,
            compensation_attempts: None,
            name,
        }
    };
    let topic = |what: &str| Some(format!("saga.{what}"));
    let blueprint = Blueprint {
        name: classes.to_owned(),
        version: 1,
        input: InputForm::Object,
        steps: classes.chars().enumerate().map(step).collect(),
        events: SagaEvents { started: topic("started"), confirmed: topic("confirmed"), cancelled: topic("cancelled") },
    };
    let policy = Policy { step_attempts: 2, compensation_attempts: 3, ..policy() };
    Definition::new(blueprint, policy).unwrap()
}
