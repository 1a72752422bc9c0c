//! Reading what an operator wants, and why.

use saga_model::Definition;
use saga_model::definition::InputForm;
use saga_model::event::{Action, Verb};
use saga_model::field::FieldCode;
use saga_model::json::{Json, RawJson};
use service::http::Fields;
use service::problem::Problem;

use crate::http::orders;

/// Reads the body of a request for `action`: the verb and its reason.
///
/// # Errors
/// 422 with every wrong field; [`Unfit::Input`] if all of them are in the new input.
pub fn read(action: Action, body: &Json<'_>, definition: &Definition) -> Result<(Verb, String), Unfit> {
    let known: &[&str] = match action {
        Action::Replay => &["reason", "fromStep", "input"],
        Action::Skip => &["reason", "step"],
        Action::Cancel | Action::Compensate | Action::Pause | Action::Resume | Action::Resolve => &["reason"],
    };
    let mut fields = Fields::of(body, known)?;
    let reason = fields.reason();
    let verb = match action {
        Action::Replay => {
            let from_step = fields.name("fromStep").map(str::to_owned);
            Some(Verb::Replay { from_step, input: input(&mut fields, definition)? })
        }
        Action::Skip => step(&mut fields, definition).map(|step| Verb::Skip { step }),
        Action::Cancel => Some(Verb::Cancel),
        Action::Compensate => Some(Verb::Compensate),
        Action::Pause => Some(Verb::Pause),
        Action::Resume => Some(Verb::Resume),
        Action::Resolve => Some(Verb::Resolve),
    };
    let as_sent = fields.optional("input").map(|json| RawJson::from(json.raw));
    fields.finish(|| Some((verb.clone()?, reason?.to_owned()))).map_err(|problem| match verb {
        Some(Verb::Replay { from_step, .. }) if problem.is_inside("/input") => {
            Unfit::Input { verb: Verb::Replay { from_step, input: as_sent }, problem }
        }
        _ => Unfit::Body(problem),
    })
}

/// What is wrong with a body.
#[derive(Debug)]
pub enum Unfit {
    Body(Problem),
    /// A `replay` that is sound but for what its input says, which matters only where the saga takes one.
    Input {
        verb: Verb,
        problem: Problem,
    },
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Self {
        Self::Body(problem)
    }
}

/// What a step is to be given instead, in the form of the definition.
fn input(fields: &mut Fields<'_>, definition: &Definition) -> Result<Option<RawJson>, Problem> {
    let Some(json) = fields.optional("input") else { return Ok(None) };
    match definition.blueprint().input {
        InputForm::Object => Ok(fields.object("input", json)),
        InputForm::Order => {
            let order = orders::field(fields, "input", json);
            order.map(|order| order.to_input()).transpose().map_err(|error| Problem::internal(&error))
        }
    }
}

/// The step to leave out, which must be one of the definition.
fn step(fields: &mut Fields<'_>, definition: &Definition) -> Option<String> {
    let name = fields.required_name("step")?;
    if definition.find(name).is_some() {
        return Some(name.to_owned());
    }
    let all: Vec<&str> = definition.steps().map(|(_, step)| step.name.as_str()).collect();
    fields.wrong("step", FieldCode::InvalidValue, format!("there is no such step; the saga has {}", all.join(", ")));
    None
}
