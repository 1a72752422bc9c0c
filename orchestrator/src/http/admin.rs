//! `/admin`: what operators ask for, what they look through ([`entries`], [`letters`]).
//!
//! `/admin/sagas/{id}/{verb}`: a request that can be read is put to whoever owns the saga, through a row that is the audit record too; the
//! answer comes in the commit that applies it. What is refused before that is recorded by [`audited`]. Either
//! way there is one record.
//!
//! Of several things that are wrong the first of these is told: the door, path and headers, a body that is no JSON, no
//! such saga, fields of the body, the revision, the state of the saga, and last what `input` says, which matters only
//! where the saga takes one.

mod audit;
mod body;
mod call;
pub mod entries;
pub mod letters;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use saga_model::Definition;
use saga_model::advance::{Refused, judge};
use saga_model::event::{Action, Verb};
use saga_model::field::{FieldCode, FieldError};
use service::http::parse_json;
use service::problem::{Code, Problem};
use uuid::Uuid;

use super::{Api, away, sagas};
use crate::store::StoreError;
use crate::store::rows::{AdminAnswer, AdminRequest, RequestStatus, SagaRecord};

pub use audit::{audited, concerns};
pub use call::Call;

use audit::Recorded;
use body::Unfit;

/// `POST /admin/sagas/{id}/{action}`
pub async fn act(api: Arc<Api>, action: Action, call: Call) -> Response {
    match prepare(&api, action, &call).await {
        Ok((verb, request)) => put(&api, &verb, request, &call).await,
        Err(problem) => problem.into_response(),
    }
}

/// Reads what is asked, into the row in which the saga's owner finds it.
async fn prepare(api: &Api, action: Action, call: &Call) -> Result<(Verb, AdminRequest), Problem> {
    let json = parse_json(&call.body)?;
    let record = api.saga(call.saga).await?.ok_or_else(|| sagas::unknown(call.saga))?;
    let definition = api.definition_of(&record).await?;
    let (verb, reason) = body::read(action, &json, &definition).map_err(|unfit| match unfit {
        Unfit::Body(problem) => problem,
        Unfit::Input { verb, problem } => state_refusal(&record, &definition, &verb, call.revision).unwrap_or(problem),
    })?;
    let request = AdminRequest {
        id: Uuid::now_v7(),
        at: api.engine.now(),
        actor: Some(call.caller.actor()),
        action: action.as_str().to_owned(),
        saga: Some(call.saga),
        shard: Some(api.engine.shard_of(call.saga)),
        body: Some(serde_json::to_string(&verb).map_err(|error| Problem::internal(&error))?),
        reason: Some(reason),
        revision: call.revision,
        status: RequestStatus::Pending,
        code: None,
        detail: None,
    };
    Ok((verb, request))
}

/// What the saga, as it is stored, has against a verb; the owner has the last word on one that can be read.
fn state_refusal(record: &SagaRecord, definition: &Definition, verb: &Verb, revision: Option<u32>) -> Option<Problem> {
    let now = record.saga.revision;
    if let Some(wanted) = revision.filter(|wanted| *wanted != now) {
        let detail = format!("the saga is at revision {now}, not {wanted}: read it again");
        return Some(Problem::new(Code::RevisionMismatch, detail));
    }
    let refused = judge(definition, &record.saga, verb).err()?;
    let code = match &refused {
        Refused::ActionNotAllowed { .. } => Code::ActionNotAllowed,
        Refused::StepNotReplayable { .. } => Code::StepNotReplayable,
        Refused::EffectMayStand => Code::EffectMayStand,
        // Not the state, but the field that was wrong before.
        Refused::InputTooLarge | Refused::UnknownStep { .. } => return None,
    };
    Some(Problem::new(code, refused.to_string()))
}

/// Puts the request to the saga's owner and answers as it does.
async fn put(api: &Api, verb: &Verb, request: AdminRequest, call: &Call) -> Response {
    let answer = match api.engine.ask(request).await {
        Ok(Some(AdminAnswer { status: RequestStatus::Done, .. })) => after(api, call).await,
        Ok(Some(answer)) => Err(refusal(verb, answer)),
        Ok(None) => Err(Problem::new(Code::OwnerUnavailable, entries::OWNER_SILENT)),
        // It holds nothing that a caller could have put in and that a store refuses; if it did, it was not recorded.
        Err(error @ StoreError::Refused(_)) => return away(&error).into_response(),
        // If the row was stored, it is the record, and its owner may see it before it is too old.
        Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => {
            tracing::warn!(%error, "What became of an operator's request cannot be read");
            Err(Problem::new(Code::Unavailable, entries::UNREAD))
        }
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(Recorded);
    response
}

/// The saga after the transition.
async fn after(api: &Api, call: &Call) -> Result<Response, Problem> {
    let unread = |_| Problem::new(Code::Unavailable, "it is done, but the saga cannot be read: the database is away");
    let record = api.saga(call.saga).await.map_err(unread)?.ok_or_else(|| sagas::unknown(call.saga))?;
    sagas::shown(api, &record, StatusCode::OK).await.map(super::answer::Answer::done)
}

/// What the owner refused, as the client is told of it.
fn refusal(verb: &Verb, answer: AdminAnswer) -> Problem {
    let detail = answer.detail.unwrap_or_else(|| "the request was refused".to_owned());
    let code = match answer.code.as_deref() {
        Some("ACTION_NOT_ALLOWED") => Code::ActionNotAllowed,
        Some("EFFECT_MAY_STAND") => Code::EffectMayStand,
        Some("STEP_NOT_REPLAYABLE") => Code::StepNotReplayable,
        Some("REVISION_MISMATCH") => Code::RevisionMismatch,
        Some("SAGA_NOT_FOUND") => Code::SagaNotFound,
        Some("PAYLOAD_TOO_LARGE") => Code::PayloadTooLarge,
        Some("VALIDATION_FAILED") => return Problem::validation([wrong_field(verb, detail)]),
        Some(other) => return Problem::internal(&format!("the owner refused a request with {other}: {detail}")),
        None => return Problem::internal(&format!("the owner refused a request without a code: {detail}")),
    };
    Problem::new(code, detail)
}

/// The field that an owner can find wrong and its receiver cannot.
fn wrong_field(verb: &Verb, detail: String) -> FieldError {
    match verb {
        Verb::Skip { .. } => FieldError::new("/step", FieldCode::InvalidValue, detail),
        Verb::Replay { .. } | Verb::Cancel | Verb::Compensate | Verb::Pause | Verb::Resume | Verb::Resolve => {
            FieldError::new("", FieldCode::InvalidValue, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use saga_model::advance::Refused;
    use saga_model::event::{Action, Verb};
    use uuid::Uuid;

    use super::{AdminAnswer, RequestStatus, refusal};
    use crate::engine::refusal::code;

    /// The status and the code with which a refusal is told.
    fn told(code: &str) -> (u16, &'static str) {
        let verb = Verb::Replay { from_step: None, input: None };
        let (status, detail) = (RequestStatus::Refused, Some("why".to_owned()));
        let problem = refusal(&verb, AdminAnswer { request: Uuid::nil(), status, code: Some(code.to_owned()), detail });
        (problem.status().as_u16(), problem.code().as_str())
    }

    #[test]
    fn every_refusal_of_an_owner_has_a_status() {
        for (code, status) in [
            ("ACTION_NOT_ALLOWED", 409),
            ("EFFECT_MAY_STAND", 409),
            ("REVISION_MISMATCH", 412),
            ("SAGA_NOT_FOUND", 404),
            ("STEP_NOT_REPLAYABLE", 422),
            ("VALIDATION_FAILED", 422),
            // An input that would make the saga too big.
            ("PAYLOAD_TOO_LARGE", 413),
        ] {
            assert_eq!(told(code), (status, code));
        }
        assert_eq!(told("ENGINE_ERROR").0, 500);
    }

    #[test]
    fn whatever_a_state_refuses_is_told_as_the_clients_own() {
        let step = || "payment".to_owned();
        let refusals = [
            Refused::ActionNotAllowed { action: Action::Skip, available: Vec::new() },
            Refused::StepNotReplayable { step: step() },
            Refused::UnknownStep { step: step() },
            Refused::EffectMayStand,
            Refused::InputTooLarge,
        ];
        for why in refusals {
            assert!(told(code(&why)).0 < 500, "{why:?}");
        }
    }
}
