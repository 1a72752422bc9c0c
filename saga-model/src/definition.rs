//! Definitions: the steps of a saga as data, checked once, immutable once used.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::micros::Millis;

/// The steps of a saga. Every saga pins the definition, with its resolved [`Policy`], that it was started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    blueprint: Blueprint,
    policy: Policy,
}

/// A definition as its author writes it. Two blueprints of one (name, version) must be equal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blueprint {
    pub name: String,
    pub version: u32,
    /// How the input is read and what the payload of a command is.
    pub input: InputForm,
    /// In order: undoable steps, at most one pivot, retriable steps; at most one of these closing.
    pub steps: Vec<StepDef>,
    /// Domain events of the saga as a whole.
    pub events: SagaEvents,
}

/// How a definition reads its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputForm {
    /// An order: checked field by field, payload as the shop's workers expect it, seen under `/orders`.
    Order,
    /// Any JSON object: it is the payload, with `steps`, `outcome` and `reason` added.
    Object,
}

/// One step: an action and, where it can be undone, its compensation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepDef {
    pub name: String,
    pub class: StepClass,
    /// In a saga that is undone, the action of this step runs last of all, with the outcome `CANCELLED`.
    #[serde(default)]
    pub closing: bool,
    /// The topic that its commands go to.
    pub topic: String,
    #[serde(default)]
    pub events: StepEvents,
    /// Overrides of the settings, for this step alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation_attempts: Option<u32>,
}

/// What may be done about a step that went wrong, or whose saga turned back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepClass {
    /// Before the pivot; can be undone.
    Undoable,
    /// Once it has succeeded, the saga goes forward (an operator may still turn it back); can be undone.
    Pivot,
    /// After the pivot: retried, never undone.
    Retriable,
}

/// Topics of the domain events of a saga.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SagaEvents {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// With the success of the pivot, after the step's own event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<String>,
    /// With the transition after which no compensation is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
}

/// Topics of the domain events of a step.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepEvents {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<String>,
    /// Refused, or its attempts used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Its compensation found an effect and undid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<String>,
}

/// The settings that a definition is resolved with; a saga keeps those that it was started with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// No reply for so long after the worker's group took the command: the attempt failed.
    pub step_timeout: Millis,
    /// Attempts of an action, at least 1.
    pub step_attempts: u32,
    /// Attempts of a compensation before the saga is stuck, at least 1.
    pub compensation_attempts: u32,
    /// Exponential backoff between attempts: the first delay and the longest.
    pub retry_base: Millis,
    pub retry_cap: Millis,
    /// How long a saga may take until its pivot has succeeded.
    pub saga_deadline: Millis,
}

/// A step of a saga by its place in the definition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIndex(pub u8);

/// Why a blueprint is no definition.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("a definition needs a name of letters, digits and hyphens, and a version of at least 1")]
    Name,
    #[error("a definition needs between 1 and {} steps", Definition::MAX_STEPS)]
    Steps,
    #[error("step {0:?}: a step needs a name of letters, digits and hyphens")]
    StepName(String),
    #[error("two steps are named {0:?}")]
    SameName(String),
    #[error("step {0:?}: the order of steps is undoable ones, at most one pivot, retriable ones")]
    Order(String),
    #[error("step {0:?}: only one retriable step may be the closing one")]
    Closing(String),
    #[error("step {0:?}: attempts are at least 1 and a timeout is above 0")]
    Limits(String),
    #[error("attempts are at least 1 and durations above 0")]
    Policy,
}

impl Definition {
    /// The most steps a definition may have.
    pub const MAX_STEPS: usize = 64;

    /// Checks a blueprint and fixes its settings.
    ///
    /// # Errors
    /// A [`DefinitionError`] says what is wrong with it.
    pub fn new(blueprint: Blueprint, policy: Policy) -> Result<Self, DefinitionError> {
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain(&blueprint.name) || blueprint.version == 0 {
            return Err(DefinitionError::Name);
        }
        if blueprint.steps.is_empty() || blueprint.steps.len() > Self::MAX_STEPS {
            return Err(DefinitionError::Steps);
        }
        if [policy.step_timeout, policy.retry_base, policy.retry_cap, policy.saga_deadline].contains(&Millis(0))
            || policy.step_attempts == 0
            || policy.compensation_attempts == 0
        {
            return Err(DefinitionError::Policy);
        }
        let mut names = std::collections::BTreeSet::new();
        let mut reached = StepClass::Undoable;
        let mut closing = false;
        for step in &blueprint.steps {
            if !plain(&step.name) {
                return Err(DefinitionError::StepName(step.name.clone()));
            }
            if !names.insert(step.name.as_str()) {
                return Err(DefinitionError::SameName(step.name.clone()));
            }
            match (reached, step.class) {
                (StepClass::Undoable, next) => reached = next,
                (StepClass::Pivot | StepClass::Retriable, StepClass::Retriable) => reached = StepClass::Retriable,
                (StepClass::Pivot | StepClass::Retriable, StepClass::Undoable | StepClass::Pivot) => {
                    return Err(DefinitionError::Order(step.name.clone()));
                }
            }
            if step.closing && (closing || step.class != StepClass::Retriable) {
                return Err(DefinitionError::Closing(step.name.clone()));
            }
            closing |= step.closing;
            if step.attempts == Some(0) || step.compensation_attempts == Some(0) || step.timeout == Some(Millis(0)) {
                return Err(DefinitionError::Limits(step.name.clone()));
            }
        }
        Ok(Self { blueprint, policy })
    }

    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub fn name(&self) -> &str {
        &self.blueprint.name
    }

    pub fn version(&self) -> u32 {
        self.blueprint.version
    }

    /// The steps with their indices, in order.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (StepIndex, &StepDef)> {
        // At most MAX_STEPS steps: the index fits.
        self.blueprint.steps.iter().enumerate().map(|(i, step)| (StepIndex(i as u8), step))
    }

    /// The step at `index`, which is one of this definition.
    ///
    /// # Panics
    /// If a saga is paired with a definition that is not its own, a bug that the engine's panic fence contains.
    pub fn step(&self, index: StepIndex) -> &StepDef {
        &self.blueprint.steps[usize::from(index.0)]
    }

    /// The index of the step of that name.
    pub fn find(&self, name: &str) -> Option<StepIndex> {
        self.steps().find(|(_, step)| step.name == name).map(|(index, _)| index)
    }

    /// The pivot, if there is one.
    pub fn pivot(&self) -> Option<StepIndex> {
        self.steps().find(|(_, step)| step.class == StepClass::Pivot).map(|(index, _)| index)
    }

    /// The closing step, if there is one.
    pub fn closing(&self) -> Option<StepIndex> {
        self.steps().find(|(_, step)| step.closing).map(|(index, _)| index)
    }

    /// How long an attempt may stay unanswered once the worker's group has taken it.
    pub fn timeout(&self, index: StepIndex) -> Millis {
        self.step(index).timeout.unwrap_or(self.policy.step_timeout)
    }

    /// How many attempts an action has.
    pub fn attempts(&self, index: StepIndex) -> u32 {
        self.step(index).attempts.unwrap_or(self.policy.step_attempts)
    }

    /// How many attempts a compensation has.
    pub fn compensation_attempts(&self, index: StepIndex) -> u32 {
        self.step(index).compensation_attempts.unwrap_or(self.policy.compensation_attempts)
    }
}

impl Blueprint {
    /// A digest of all that the author wrote (SHA-256 of its JSON, in hexadecimal): start-up refuses
    /// another digest under a (name, version) that is in use.
    pub fn digest(&self) -> String {
        // A blueprint is plain data: writing it as JSON cannot fail, and an empty text would merely differ.
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{:x}", Sha256::digest(text.as_bytes()))
    }
}

impl StepDef {
    /// Whether the step has a compensation.
    pub fn undoable(&self) -> bool {
        match self.class {
            StepClass::Undoable | StepClass::Pivot => true,
            StepClass::Retriable => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::order;

    #[test]
    fn a_step_has_a_name_that_no_other_has() {
        let ten = Millis(10);
        let policy = Policy {
            step_timeout: ten,
            step_attempts: 1,
            compensation_attempts: 1,
            retry_base: ten,
            retry_cap: ten,
            saga_deadline: ten,
        };
        let named = |name: &str| {
            let mut blueprint = order::blueprint();
            blueprint.steps[1].name = name.to_owned();
            Definition::new(blueprint, policy).map(drop)
        };
        assert_eq!(named("charge-payment-2"), Ok(()));
        for name in ["charge_payment", "", "charge payment", "zahlung-f\u{fc}r"] {
            assert_eq!(named(name), Err(DefinitionError::StepName(name.to_owned())));
        }
        let taken = order::blueprint().steps.remove(0).name;
        assert_eq!(named(&taken), Err(DefinitionError::SameName(taken.clone())));
    }
}
