//! The definitions that are searched: small budgets, every class of step.

use saga_model::Definition;
use saga_model::catalog::order;
use saga_model::definition::{Blueprint, DefinitionError, Policy};
use saga_model::micros::Millis;

use super::plain::LONG;
use crate::short;

/// Budgets of this many attempts keep the space finite and small.
const ATTEMPTS: u32 = 2;

/// The ones that are searched: with and without a pivot, steps after it, and a closing step.
pub const ALL: [&str; 5] = [order::NAME, "UP", "UU", "PRZ", "URZ"];

/// `order-fulfilment` itself, or one in short: a letter a step, `U`ndoable, `P`ivot, `R`etriable, closing `Z`.
///
/// # Errors
/// If the letters make no definition.
pub fn named(name: &str) -> Result<Definition, DefinitionError> {
    with_small_budgets(if name == order::NAME { order::blueprint() } else { short::short(name).blueprint().clone() })
}

fn with_small_budgets(blueprint: Blueprint) -> Result<Definition, DefinitionError> {
    let policy = Policy {
        step_timeout: Millis(10_000),
        step_attempts: ATTEMPTS,
        compensation_attempts: ATTEMPTS,
        retry_base: Millis(500),
        retry_cap: Millis(30_000),
        saga_deadline: LONG,
    };
    Definition::new(blueprint, policy)
}
