//! The record of what operators asked for: one for every POST and PUT under `/admin`, whatever became of it.
//!
//! A request that was put to a saga's owner is its own record. This layer stands around the door and all routes,
//! and records the rest: no key, the wrong key, no such path, no such saga, a body that cannot be read.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use saga_model::SagaId;
use service::http::{JsonBody, LAST_PATIENCE, PATIENCE, refused_body, usable_reason};
use service::problem::Problem;
use tracing::Instrument;
use uuid::Uuid;

use crate::http::Api;
use crate::store::rows::{AdminRequest, RequestStatus};

/// Goes with an answer whose request has its record.
#[derive(Debug, Clone, Copy)]
pub struct Recorded;

/// Goes with an answer to a request about a saga that its path does not name.
#[derive(Debug, Clone, Copy)]
pub struct About(pub SagaId);

/// Puts the audit around all routes, their door included. It leaves the paths alone that `others` record.
pub fn audited(routes: Router, api: Arc<Api>, others: fn(&str) -> bool) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| {
        let api = api.clone();
        async move {
            if !concerns(&request) || others(request.uri().path()) {
                return next.run(request).await;
            }
            // A client that goes away does not keep its request from being recorded.
            let recorded = tokio::spawn(record(api, request, next).in_current_span());
            recorded.await.unwrap_or_else(|panic| Problem::internal(&panic).into_response())
        }
    }))
}

/// Whether a request has to be recorded, here or by others.
pub fn concerns(request: &Request) -> bool {
    let admin =
        request.uri().path().strip_prefix("/admin").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    admin && (request.method() == Method::POST || request.method() == Method::PUT)
}

async fn record(api: Arc<Api>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let (reason, body) = look_at(&parts, body).await;
    let mut record = refused(&api, &parts, reason);
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<Recorded>().is_some() {
        return response;
    }
    if let Some(About(saga)) = response.extensions().get() {
        record.saga = Some(*saga);
    }
    match service::http::refusal(&response) {
        Some(problem) => {
            record.code = Some(problem.code().as_str().to_owned());
            record.detail = Some(problem.detail().to_owned());
        }
        None => record.status = RequestStatus::Done,
    }
    // A database that has been waited for in vain is not waited for as long again.
    let patience = PATIENCE.saturating_sub(begun.elapsed()).max(LAST_PATIENCE);
    match api.read_within(patience, api.engine.store().put_request(&record)).await {
        Ok(()) => response,
        // What cannot be recorded is not answered as if it were; nothing but a refusal comes this way.
        Err(problem) => problem.into_response(),
    }
}

/// The reason in the body, if it is of use, and the body for whoever is next.
async fn look_at(parts: &Parts, body: Body) -> (Option<String>, Body) {
    match JsonBody::from_request(Request::from_parts(parts.clone(), body), &()).await {
        Ok(JsonBody(bytes)) => (usable_reason(&bytes), Body::from(bytes)),
        // Whoever is next refuses it for the same, in its turn: after the key, the path and the headers.
        Err(problem) => (None, refused_body(problem)),
    }
}

/// The record of a request that is refused, as far as it is known before.
fn refused(api: &Api, parts: &Parts, reason: Option<String>) -> AdminRequest {
    let (action, saga) = meant(parts);
    let caller = api.keys.authenticate(&parts.headers).ok();
    AdminRequest {
        id: Uuid::now_v7(),
        at: api.engine.now(),
        actor: caller.filter(|caller| caller.name().is_some()).map(|caller| caller.actor()),
        action,
        saga,
        shard: None,
        body: None,
        reason,
        revision: None,
        status: RequestStatus::Refused,
        code: None,
        detail: None,
    }
}

/// What was meant by the path: the last word of it, and the saga if it names one.
fn meant(parts: &Parts) -> (String, Option<SagaId>) {
    const LONGEST: usize = 100;
    let path = parts.uri.path();
    let saga = path.strip_prefix("/admin/sagas/").and_then(|rest| rest.split('/').next()?.parse().ok());
    let word = path.rsplit('/').find(|word| !word.is_empty()).unwrap_or_default();
    (word.chars().take(LONGEST).collect(), saga)
}
