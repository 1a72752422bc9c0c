//! The span of a request, and the trace that it belongs to.

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::convert::Infallible;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::keys::is_keyless;
use crate::metrics::RouteName;
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

/// The span of a request, under which it is handled; with telemetry off it is none.
pub(super) struct Trace(Span);

impl Trace {
    pub(super) fn begin(request: &mut Request, route: &RouteName) -> Self {
        // What asks every few seconds whether we are well would bury what is worth seeing.
        if is_keyless(request.uri().path()) {
            return Self(Span::none());
        }
        let incoming = TraceParent::from_headers(request.headers());
        let (method, route) = (request.method().as_str(), route.as_str());
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
        let mut place = incoming;
        if !span.is_disabled() {
            if let Some(incoming) = incoming {
                // It cannot be set where telemetry is off, and is not needed there.
                let _off = span.set_parent(incoming.context());
            }
            place = TraceParent::of(&span.context()).or(incoming);
        }
        if place.is_some() {
            request.extensions_mut().insert(RequestTrace(place));
        }
        Self(span)
    }

    pub(super) fn span(&self) -> &Span {
        &self.0
    }

    pub(super) fn end(self, status: StatusCode) {
        self.0.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.0.record("otel.status_code", "ERROR");
        }
    }
}
