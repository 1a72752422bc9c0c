//! A saga as a tree that people read.

use crate::definition::Definition;
use crate::state::Saga;

/// The saga, line by line.
pub fn tree(definition: &Definition, saga: &Saga) -> String {
    format!("{} {:?}", definition.name(), saga)
}
