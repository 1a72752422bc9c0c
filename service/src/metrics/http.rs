//! Requests: how many, how long.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Metrics, Seconds};

/// The route of a request that matched none, as metrics and traces call it.
const UNMATCHED: &str = "unmatched";

/// Counts requests. Labels are of a bounded number: the route is a template, the method a known one.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Request, Counter>,
    seconds: Seconds<Place>,
}

/// The template of a request's path, as the router has it: never the path itself, of which there are too many. Cheap to
/// make and to clone, for each request has one.
#[derive(Clone, Debug)]
pub(crate) struct RouteName(pub(crate) Option<MatchedPath>);

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Request {
    route: RouteName,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Place {
    route: RouteName,
    method: &'static str,
}

impl HttpMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters("http_requests_total", "Requests by route, method and status"),
            seconds: metrics.seconds("http_request_duration_seconds", "How long requests took, by route and method"),
        }
    }

    pub(crate) fn count(&self, route: RouteName, method: &Method, status: StatusCode, took: Duration) {
        let method = known(method);
        let request = Request { route, method, status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        let place = Place { route: request.route, method };
        self.seconds.get_or_create(&place).observe(took.as_secs_f64());
    }
}

impl RouteName {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }
}

impl PartialEq for RouteName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for RouteName {}

impl Hash for RouteName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for RouteName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

/// A client may send any word as a method.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
