//! The record of every POST and PUT under `/admin`, refused or not.
//!
//! A change that was made, or refused for the state that it met, is recorded in the transaction of the change
//! ([`crate::shop::stock::Stock::set`]) and marked [`Recorded`]. Everything else that ends an admin call (no key,
//! no such path, a body that makes no sense) is recorded here.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use service::http::{LAST_PATIENCE, MAX_BODY_BYTES, PATIENCE, refusal, usable_reason};
use service::keys::ApiKeys;
use uuid::Uuid;

use super::is_workers_admin_path;
use super::unbroken;
use crate::audit::{AuditOutcome, AuditRecord};
use crate::shop::stock::Change;
use crate::sql::Db;

/// Marks a response whose record is stored already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded;

/// Puts the audit around `routes`, which stand behind their door already. It records the admin calls to paths of which
/// `ours` says so: all, in a worker's process.
pub fn audit(routes: Router, db: Db, keys: Arc<ApiKeys>, ours: fn(&str) -> bool) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| {
        let (db, keys) = (db.clone(), Arc::clone(&keys));
        async move {
            let path = request.uri().path();
            let writes = matches!(*request.method(), Method::POST | Method::PUT);
            let admin = path.strip_prefix("/admin").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if writes && admin && ours(path) {
                recorded(request, next, db, &keys).await
            } else {
                next.run(request).await
            }
        }
    }))
}

async fn recorded(request: Request, next: Next, db: Db, keys: &ApiKeys) -> Response {
    let begun = Instant::now();
    let caller = keys.authenticate(request.headers()).ok();
    let actor = caller.filter(|caller| caller.name().is_some()).map(|caller| caller.actor());
    let action = if is_workers_admin_path(request.uri().path()) { Change::ACTION } else { "unknown" };
    let (parts, body) = request.into_parts();
    let (start, body) = begin_of(body).await;
    let reason = usable_reason(&start);
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<Recorded>().is_some() {
        return response;
    }
    let (outcome, detail) = match refusal(&response) {
        Some(problem) => (AuditOutcome::Refused(problem.code().as_str()), Some(problem.detail().to_owned())),
        None => (AuditOutcome::Done, None),
    };
    let (id, at) = (Uuid::now_v7(), service::time::now());
    let record = AuditRecord { id, at, actor, action, reason, outcome, detail };
    // A database that has been waited for in vain is not waited for as long again.
    let patience = PATIENCE.saturating_sub(begun.elapsed()).max(LAST_PATIENCE);
    match unbroken(patience, async move { record.store(db.connection()).await }).await {
        Ok(()) => response,
        // What cannot be recorded is not answered as if it were; nothing but a refusal comes this way.
        Err(problem) => problem.into_response(),
    }
}

/// Reads a body as far as any body is read, and gives it back whole.
async fn begin_of(body: Body) -> (Bytes, Body) {
    let mut rest: BodyDataStream = body.into_data_stream();
    let (mut start, mut broke, mut ended) = (BytesMut::new(), None, false);
    while start.len() <= MAX_BODY_BYTES && broke.is_none() && !ended {
        match rest.next().await {
            Some(Ok(chunk)) => start.extend_from_slice(&chunk),
            Some(Err(error)) => broke = Some(Err(error)), // one that does not come in time, too
            None => ended = true,
        }
    }
    let start = start.freeze();
    let body = if ended {
        Body::from(start.clone())
    } else {
        Body::from_stream(stream::iter([Ok(start.clone())]).chain(stream::iter(broke)).chain(rest))
    };
    (start, body)
}
