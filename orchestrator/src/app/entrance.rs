//! The door before the house is ready: health and metrics answer at once, everything else once the engine runs.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use service::health::Health;
use service::metrics::Metrics;
use service::problem::{Code, Problem};
use tower::ServiceExt;

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

    /// What to serve.
    pub fn routes(&self) -> Router {
        Router::new().fallback(pass).with_state(self.clone())
    }
}

async fn pass(State(entrance): State<Entrance>, request: Request) -> Response {
    let routes = entrance.open.get().unwrap_or(&entrance.closed).clone();
    routes.oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn not_ready() -> Response {
    let detail = "the instance is starting: it waits for what it stands on, see /readyz";
    Problem::new(Code::NotReady, detail).into_response()
}
