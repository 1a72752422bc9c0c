//! A definition, as under `GET /definitions/{name}`.

use serde::Serialize;

use crate::definition::{Definition, StepClass};

/// A definition with its resolved settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DefinitionView<'a> {
    pub name: &'a str,
    pub version: u32,
    pub steps: Vec<StepDefView<'a>>,
}

/// A step of a definition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StepDefView<'a> {
    pub name: &'a str,
    pub class: StepClass,
    pub closing: bool,
    pub topic: &'a str,
    /// As in settings: `10s`.
    pub timeout: String,
    pub attempts: u32,
}

impl<'a> DefinitionView<'a> {
    /// As the outside sees it.
    pub fn of(definition: &'a Definition) -> Self {
        let steps = definition.steps().map(|(index, step)| StepDefView {
            name: &step.name,
            class: step.class,
            closing: step.closing,
            topic: &step.topic,
            timeout: definition.timeout(index).to_string(),
            attempts: definition.attempts(index),
        });
        Self { name: definition.name(), version: definition.version(), steps: steps.collect() }
    }
}
