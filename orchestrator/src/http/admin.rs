//! `/admin`: what operators ask for, what they look through ([`entries`], [`letters`]).
//!
//! `/admin/sagas/{id}/{verb}`: a request that can be read is put to whoever owns the saga, through a row that is the audit record too; the
//! answer comes in the commit that applies it. What is refused before that is recorded by [`audited`]. Either
//! way there is one record.

mod audit;
mod body;
mod call;
pub mod entries;
pub mod letters;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use saga_model::event::{Action, Verb};
use saga_model::field::{FieldCode, FieldError};
use service::http::parse_json;
use service::problem::{Code, Problem};
use uuid::Uuid;

use super::{Api, away, sagas};
use crate::store::StoreError;
use crate::store::rows::{AdminAnswer, AdminRequest, RequestStatus};

pub use audit::audited;
pub use call::Call;

use audit::Recorded;

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
    let (verb, reason) = body::read(action, &json, &definition)?;
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

/// Puts the request to the saga's owner and answers as it does.
async fn put(api: &Api, verb: &Verb, request: AdminRequest, call: &Call) -> Response {
    let answer = match api.engine.ask(request).await {
        Ok(Some(AdminAnswer { status: RequestStatus::Done, .. })) => after(api, call).await,
        Ok(Some(answer)) => Err(refusal(verb, answer)),
        Ok(None) => Err(Problem::new(Code::OwnerUnavailable, entries::OWNER_SILENT)),
        // It holds nothing that a caller could have put in and that a store refuses; if it did, it was not recorded.
        Err(error @ StoreError::Refused(_)) => return away(&error).into_response(),
        // If the row was stored, it is the record.
        Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))) => Err(away(&error)),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(Recorded);
    response
}

/// The saga after the transition.
async fn after(api: &Api, call: &Call) -> Result<Response, Problem> {
    let record = api.saga(call.saga).await?.ok_or_else(|| sagas::unknown(call.saga))?;
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
        Some("VALIDATION_FAILED") => return Problem::validation([wrong_field(verb, detail)]),
        Some(other) => return Problem::internal(&format!("the owner refused a request with {other}: {detail}")),
        None => return Problem::internal(&format!("the owner refused a request without a code: {detail}")),
    };
    Problem::new(code, detail)
}

/// The field that an owner can find wrong and its receiver cannot.
fn wrong_field(verb: &Verb, detail: String) -> FieldError {
    match verb {
        Verb::Replay { .. } => FieldError::new("/input", FieldCode::TooLong, detail),
        Verb::Skip { .. } => FieldError::new("/step", FieldCode::InvalidValue, detail),
        Verb::Cancel | Verb::Compensate | Verb::Pause | Verb::Resume | Verb::Resolve => {
            FieldError::new("", FieldCode::InvalidValue, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use saga_model::advance::Refused;
    use saga_model::event::Action;
    use uuid::Uuid;

    use super::*;
    use crate::engine::refusal;
    use crate::store::rows::RequestStatus;

    #[test]
    fn every_refusal_of_an_owner_is_told_as_the_clients_own() {
        let step = || "payment".to_owned();
        let refusals = [
            Refused::ActionNotAllowed { action: Action::Skip, available: Vec::new() },
            Refused::StepNotReplayable { step: step() },
            Refused::UnknownStep { step: step() },
            Refused::EffectMayStand,
            Refused::InputTooLarge,
        ];
        for why in refusals {
            let answer = AdminAnswer {
                request: Uuid::nil(),
                status: RequestStatus::Refused,
                code: Some(refusal::code(&why).to_owned()),
                detail: Some(refusal::explain(&why)),
            };
            let status = refusal(&Verb::Skip { step: step() }, answer).into_response().status();
            assert!(status.is_client_error(), "{why:?}: {status}");
        }
    }
}
