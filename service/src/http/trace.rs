//! The span of a request, and the trace that it belongs to.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use std::convert::Infallible;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::edge::{refuse_long_uri, route_of};
use crate::keys::is_keyless;
use crate::traceparent::TraceParent;

/// The trace that a request belongs to, and its place in it: the parent of what the request begins. With
/// telemetry on it is the request's own span; with telemetry off, what the client sent; else there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestTrace(pub Option<TraceParent>);

impl<S: Sync> FromRequestParts<S> for RequestTrace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    // What asks every few seconds whether we are well would bury what is worth seeing.
    if is_keyless(request.uri().path()) {
        return refuse_long_uri(request, next).await;
    }
    let incoming = TraceParent::from_headers(request.headers());
    let (method, route) = (request.method().as_str(), route_of(&request));
    let span = info_span!(
        target: crate::telemetry::SPANS,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        url.path = request.uri().path(),
        http.response.status_code = Empty,
    );
    if let Some(incoming) = incoming {
        // It cannot be set where telemetry is off, and is not needed there.
        let _off = span.set_parent(incoming.context());
    }
    let own = TraceParent::of(&span.context());
    request.extensions_mut().insert(RequestTrace(own.or(incoming)));
    let response = refuse_long_uri(request, next).instrument(span.clone()).await;
    span.record("http.response.status_code", i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}
