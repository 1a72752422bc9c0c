use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

#[derive(Clone, Hash, PartialEq, Eq, Debug, EncodeLabelSet)]
struct ByDefinition {
    definition: &'static str,
}

const ORDER: ByDefinition = ByDefinition { definition: "order-fulfilment" };

/// (content type, body) of `/metrics`.
async fn read(metrics: &Metrics, accept: &str) -> (String, String) {
    let request = Request::get("/metrics").header(ACCEPT, accept).body(Body::empty()).unwrap();
    let response = metrics.routes().oneshot(request).await.unwrap();
    let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn names_come_out_as_they_went_in() {
    let metrics = Metrics::new();
    metrics.counters("saga_started_total", "Sagas started").get_or_create(&ORDER).inc_by(3);
    metrics.gauges("saga_in_flight", "Sagas in flight").get_or_create(&ORDER).set(2);
    metrics.seconds("saga_duration_seconds", "How long sagas took").get_or_create(&ORDER).observe(0.2);

    let (kind, body) = read(&metrics, "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# HELP saga_started_total Sagas started.",
        "# TYPE saga_started_total counter",
        "saga_started_total{definition=\"order-fulfilment\"} 3",
        "# TYPE saga_in_flight gauge",
        "saga_in_flight{definition=\"order-fulfilment\"} 2",
        "# TYPE saga_duration_seconds histogram",
        "saga_duration_seconds_bucket{le=\"0.25\",definition=\"order-fulfilment\"} 1",
        "saga_duration_seconds_count{definition=\"order-fulfilment\"} 1",
    ] {
        assert!(body.lines().any(|has| has == line), "{line} is not in:\n{body}");
    }
    assert!(!body.contains("# EOF"));

    let (kind, body) = read(&metrics, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(body.contains("# TYPE saga_started counter\n"), "{body}");
    assert!(body.contains("\nsaga_started_total{definition=\"order-fulfilment\"} 3\n"), "{body}");
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_name_registered_twice_is_one_metric() {
    let metrics = Metrics::new();
    metrics.counters("saga_started_total", "Sagas started").get_or_create(&ORDER).inc();
    metrics.counters("saga_started_total", "Sagas started").get_or_create(&ORDER).inc();
    let (_, body) = read(&metrics, "").await;
    assert!(body.contains("saga_started_total{definition=\"order-fulfilment\"} 2\n"), "{body}");
    assert_eq!(body.matches("# TYPE").count(), 1);
}
