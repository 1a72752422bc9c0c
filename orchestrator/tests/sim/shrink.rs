//! A failing run made smaller: with as few of its faults as still make it fail, by the same rule.

use super::fault::Kept;
use super::run::{Outcome, Recipe, Simulator};

/// Leaves out one fault after the other, the last ones first, and again until none can be left out.
pub fn shrink(simulator: &Simulator, recipe: &Recipe) -> (Recipe, Outcome) {
    let mut best = (recipe.clone(), simulator.run(recipe));
    let Some(rule) = best.1.wrong.as_ref().map(|wrong| wrong.rule.clone()) else { return best };
    loop {
        let mut smaller = false;
        let mut at = best.1.faults.len();
        while at > 0 {
            at = at.min(best.1.faults.len());
            if at == 0 {
                break;
            }
            at -= 1;
            let kept = best.1.faults.iter().enumerate().filter(|(place, _)| *place != at);
            let kept = Kept::Only(kept.map(|(_, (number, _))| *number).collect());
            let trial = Recipe { kept, ..best.0.clone() };
            let outcome = simulator.run(&trial);
            let same = outcome.wrong.as_ref().is_some_and(|wrong| wrong.rule == rule);
            if same && outcome.faults.len() < best.1.faults.len() {
                best = (trial, outcome);
                smaller = true;
            }
        }
        if !smaller {
            return best;
        }
    }
}
