//! The door before the house is ready: health and metrics answer at once, everything else once the engine runs.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use service::health::Health;
use service::metrics::Metrics;
use service::problem::{Code, Problem};
use tower::Service;

/// Routes that are opened once.
#[derive(Clone)]
pub struct Entrance {
    closed: Router,
    open: Arc<OnceLock<Router>>,
}

impl Entrance {
    pub fn new(health: &Health, metrics: &Metrics) -> Self {
        let routes = Router::new().merge(health.routes()).merge(metrics.routes()).fallback(not_ready);
        Self { closed: service::http::edge(routes, metrics.http()), open: Arc::default() }
    }

    /// Opens the house.
    pub fn open(&self, routes: Router) {
        // Opened a second time it stays as it was.
        let _ = self.open.set(routes);
    }
}

/// It leads to the routes of now. The edge is theirs.
impl Service<Request> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.open.get().unwrap_or(&self.closed).clone().call(request)
    }
}

async fn not_ready() -> Response {
    let detail = "the instance is starting: it waits for what it stands on, see /readyz";
    Problem::new(Code::NotReady, detail).into_response()
}
