//! A request to do something to a saga, before its body is looked into.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};

use saga_model::SagaId;
use service::http::{JsonBody, PathId, if_match, no_query};
use service::keys::Caller;
use service::problem::Problem;

use crate::http::Api;

/// Who wants something done to which saga.
#[derive(Debug)]
pub struct Call {
    pub saga: SagaId,
    pub caller: Caller,
    /// From `If-Match`: the caller wants it done to this revision and no other.
    pub revision: Option<u32>,
    pub body: Bytes,
}

impl FromRequest<Arc<Api>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let PathId(id) = PathId::from_request_parts(&mut parts, api).await?;
        let caller = Caller::from_request_parts(&mut parts, api).await?;
        no_query(&parts.uri)?;
        // No saga gets as far as the last revision, so a number that is too large is one that it does not have.
        let stored = |revision| i32::try_from(revision).unwrap_or(i32::MAX).unsigned_abs();
        let revision = if_match(&parts.headers)?.map(|revision| stored(revision.0));
        let JsonBody(body) = JsonBody::from_request(Request::from_parts(parts, body), api).await?;
        Ok(Self { saga: id.into(), caller, revision, body })
    }
}
