//! What surrounds all routes.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use axum::routing::future::RouteFuture;
use tower::{Service, layer::layer_fn, service_fn};
use tracing::Instrument;

use super::trace::Trace;
use crate::keys::{Door, guard};
use crate::metrics::{HttpMetrics, RouteName};
use crate::problem::{Problem, of_refusal};

/// The longest URI that is looked at: path and query.
pub const MAX_URI_BYTES: usize = 8 * 1024;

/// Puts the edge around `routes` (complete: nothing is added after this).
///
/// Every refusal leaves as a problem document about its path, also those of the router itself and those that a
/// panic in a handler ends in; each request is counted and traced under its route.
pub fn edge(routes: Router, metrics: HttpMetrics) -> Router {
    let routes = passed(routes, metrics, None);
    documented(move |request| routes.clone().call(request))
}

/// Puts the edge around `routes`, with the door inside and an audit between the two.
///
/// Only requests that concern the audit are led through it: for all others the way from the edge to the handler is one
/// layer, since each that stands alone costs every request some microseconds.
pub fn guarded_edge(routes: Router, door: Door, audit: Audit, metrics: HttpMetrics) -> Router {
    let Audit { concerns, around } = audit;
    let recorded = passed(around(guard(routes.clone(), door.keys.clone(), door.keyless)), metrics.clone(), None);
    let others = passed(routes, metrics, Some(door));
    documented(move |request| {
        let routes = if concerns(&request) { &recorded } else { &others };
        routes.clone().call(request)
    })
}

/// What records requests, whatever becomes of them at the door and behind it.
pub struct Audit {
    /// The requests that it has to see.
    pub concerns: fn(&Request) -> bool,
    /// Puts it around the door.
    pub around: Box<dyn FnOnce(Router) -> Router>,
}

/// The problem that a response is, if it refuses: for what stands between the routes and the edge (an audit).
pub fn refusal(response: &Response) -> Option<Problem> {
    of_refusal(response)
}

/// This runs around the router, so that it sees what it says by itself (404, and 405 with its Allow).
fn documented<F>(routes: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Router
where
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    Router::new().fallback_service(service_fn(move |request: Request| {
        let uri = request.uri().clone();
        let answer = routes(request);
        async move {
            let mut response = answer.await?;
            if let Some(problem) = of_refusal(&response) {
                problem.instance(uri.path()).write_to(&mut response);
            }
            Ok::<_, Infallible>(response)
        }
    }))
}

/// What runs around each route, once it is known.
struct Edge {
    metrics: HttpMetrics,
    door: Option<Door>,
}

/// All that always goes together (counts, traces, long URIs, panics, the door) is one layer.
fn passed(routes: Router, metrics: HttpMetrics, door: Option<Door>) -> Router {
    let edge = Arc::new(Edge { metrics, door });
    routes.layer(layer_fn(move |mut route: Route| {
        let edge = edge.clone();
        service_fn(move |request| edge.clone().pass(&mut route, request))
    }))
}

impl Edge {
    fn pass(
        self: Arc<Self>,
        route: &mut Route,
        mut request: Request,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        let begun = Instant::now();
        let name = RouteName(request.extensions().get::<MatchedPath>().cloned());
        let method = request.method().clone();
        let trace = Trace::begin(&mut request, &name);
        let answer = trace.span().in_scope(|| self.let_in(request).map(|request| route.call(request)));
        async move {
            let response = async {
                match answer {
                    Ok(answer) => unbroken(answer).await,
                    Err(problem) => problem.into_response(),
                }
            };
            let response = response.instrument(trace.span().clone()).await;
            trace.end(response.status());
            self.metrics.count(name, &method, response.status(), begun.elapsed());
            Ok(response)
        }
    }

    fn let_in(&self, request: Request) -> Result<Request, Problem> {
        let length = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
        if length > MAX_URI_BYTES {
            return Err(Problem::uri_too_long());
        }
        match &self.door {
            Some(door) => door.admit(request),
            None => Ok(request),
        }
    }
}

/// The answer of a route, also if its handler panics.
async fn unbroken(answer: RouteFuture<Infallible>) -> Response {
    let mut answer = pin!(answer);
    // What the handler had in its hands is dropped with it.
    let answered = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => panicked(&*panic),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)");
    Problem::internal(&format!("a handler panicked: {text}")).into_response()
}
