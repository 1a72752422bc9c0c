//! Requests: how many, how long.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Metrics, Seconds};

/// Counts requests. Labels are of a bounded number: the route is a template, the method a known one.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Request, Counter>,
    seconds: Seconds<Place>,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Request {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct Place {
    route: String,
    method: &'static str,
}

impl HttpMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters("http_requests_total", "Requests by route, method and status"),
            seconds: metrics.seconds("http_request_duration_seconds", "How long requests took, by route and method"),
        }
    }

    pub(crate) fn count(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let method = known(method);
        let request = Request { route: route.to_owned(), method, status: status.as_u16() };
        self.requests.get_or_create(&request).inc();
        self.seconds.get_or_create(&Place { route: route.to_owned(), method }).observe(took.as_secs_f64());
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
