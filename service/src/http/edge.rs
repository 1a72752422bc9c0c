//! What surrounds all routes.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::drain::take_what_comes;
use super::trace::trace;
use crate::metrics::HttpMetrics;
use crate::problem::{Problem, of_refusal};

/// The longest URI that is looked at: path and query.
pub const MAX_URI_BYTES: usize = 8 * 1024;

/// The route of a request that matched none, as metrics and traces call it.
pub(super) const UNMATCHED: &str = "unmatched";

/// Puts the edge around `routes` (complete: nothing is added after this).
///
/// Every refusal leaves as a problem document about its path, also those of the router itself and those that a
/// panic in a handler ends in; each request is counted and traced under its route.
pub fn edge(routes: Router, metrics: HttpMetrics) -> Router {
    // Layers of the router run once the route is known; the last one is the outermost. Each costs every request some
    // microseconds: what always goes together (count, trace, long URIs) is one.
    let routes = routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(move |request, next| count(metrics.clone(), request, next)));
    // This runs around the router, so that it sees what it says by itself (404, and 405 with its Allow).
    Router::new().fallback_service(ServiceBuilder::new().layer(from_fn(write_problems)).service(routes))
}

/// The problem that a response is, if it refuses: for what stands between the routes and the edge (an audit).
pub fn refusal(response: &Response) -> Option<Problem> {
    of_refusal(response)
}

async fn write_problems(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = take_what_comes(request, next).await;
    if let Some(problem) = of_refusal(&response) {
        problem.instance(path).write_to(&mut response);
    }
    response
}

async fn count(metrics: HttpMetrics, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (route, method) = (route_of(&request), request.method().clone());
    let response = trace(request, next).await;
    metrics.count(&route, &method, response.status(), begun.elapsed());
    response
}

pub(super) async fn refuse_long_uri(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if length > MAX_URI_BYTES {
        return Problem::uri_too_long().into_response();
    }
    next.run(request).await
}

/// The template of the path, as the router has it: never the path itself, of which there are too many.
pub(super) fn route_of(request: &Request) -> String {
    request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)");
    Problem::internal(&format!("a handler panicked: {text}")).into_response()
}
