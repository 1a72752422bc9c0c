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
pub fn named(name: &str) -> Result<Definition, String> {
    let blueprint = if name == order::NAME {
        order::blueprint()
    } else if is_short(name) {
        short::short(name).blueprint().clone()
    } else {
        return Err(format!("{name:?} is neither {} nor U.., at most one P, and R.. with at most one Z", order::NAME));
    };
    with_small_budgets(blueprint).map_err(|error| format!("{name}: {error}"))
}

fn is_short(name: &str) -> bool {
    let rest = name.trim_start_matches('U');
    let rest = rest.strip_prefix('P').unwrap_or(rest);
    !name.is_empty() && rest.chars().all(|letter| "RZ".contains(letter)) && rest.matches('Z').count() <= 1
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
