//! The definitions that come with the orchestrator.

pub mod order;

use crate::definition::Blueprint;

/// All definitions of the catalog.
pub fn blueprints() -> Vec<Blueprint> {
    vec![order::blueprint()]
}
