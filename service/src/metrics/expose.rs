//! `/metrics`: OpenMetrics for who asks for it, else the text format of Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text;

use super::{Inner, Metrics};
use crate::http::no_query;
use crate::problem::Problem;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// `GET /metrics`.
    pub fn routes(&self) -> Router {
        Router::new().route("/metrics", get(metrics)).with_state(self.clone())
    }
}

async fn metrics(State(metrics): State<Metrics>, uri: Uri, headers: HeaderMap) -> Response {
    if let Err(problem) = no_query(&uri) {
        return problem.into_response();
    }
    let asked = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text")));
    let inner = metrics.lock();
    let mut body = String::new();
    if let Err(error) = text::encode(&mut body, &inner.registry) {
        return Problem::internal(&error).into_response();
    }
    let (kind, body) = if asked { (OPEN_METRICS, body) } else { (PROMETHEUS, inner.for_prometheus(&body)) };
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

impl Inner {
    /// The same in the older format: counters are described by their full name, and nothing marks the end.
    fn for_prometheus(&self, open_metrics: &str) -> String {
        let mut text = String::with_capacity(open_metrics.len() + 64);
        for line in open_metrics.lines().filter(|line| *line != "# EOF") {
            let mut words = line.splitn(4, ' ');
            let described = match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(stem), Some(rest)) => Some((what, stem, rest)),
                _ => None, // a sample
            };
            match described {
                Some((what, stem, rest)) => {
                    let full = self.counters.iter().find(|name| name.strip_suffix("_total") == Some(stem));
                    let name = full.copied().unwrap_or(stem);
                    text.extend(["# ", what, " ", name, " ", rest, "\n"]);
                }
                None => text.extend([line, "\n"]),
            }
        }
        text
    }
}
