//! An order is one trace, from the request through Kafka to each worker and back, its compensation included.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use support::Stack;

/// A span with the service that made it.
#[derive(Debug, Clone)]
struct Seen {
    service: String,
    span: Span,
}

impl Seen {
    fn attribute(&self, name: &str) -> String {
        let found = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match found.and_then(|attribute| attribute.value.clone()?.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        }
    }
}

type Collected = Arc<Mutex<Vec<Seen>>>;

async fn receive(State(collected): State<Collected>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP over HTTP/protobuf");
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let name = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        let Some(Value::StringValue(service)) = name.value.clone().unwrap().value else { panic!("a name") };
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            collected.lock().unwrap().push(Seen { service: service.clone(), span });
        }
    }
}

/// A small receiver of traces.
async fn collector() -> (String, Collected) {
    let collected = Collected::default();
    let routes = axum::Router::new().route("/v1/traces", post(receive)).with_state(collected.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (endpoint, collected)
}

/// Waits until `holds` of the spans of a trace.
async fn spans_of(collected: &Collected, trace: &str, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let mut found = Vec::new();
    for _ in 0..400 {
        pace.tick().await;
        let all = collected.lock().unwrap().clone();
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        found = all.into_iter().filter(|seen| hex(&seen.span.trace_id) == trace).collect();
        if holds(&found) {
            return found;
        }
    }
    let names: Vec<_> =
        found.iter().map(|seen| (&seen.service, &seen.span.name, seen.attribute("saga.attempt"))).collect();
    panic!("the trace {trace} never became whole: {names:#?}");
}

fn named<'a>(spans: &'a [Seen], service: &str, name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|seen| seen.service == service && seen.span.name == name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_one_trace() {
    let (endpoint, collected) = collector().await;
    let stack = Stack::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "200")]).await;
    let client = stack.client("serve");
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = json!({"userId": "11111111-1111-1111-1111-111111111111", "amount": 5,
        "items": {uuid::Uuid::new_v4().to_string(): 1}, "paymentMethod": "pm_hang"});
    let header = format!("00-{trace}-{parent}-01");
    let order = client.try_send("POST", "/orders", &[("traceparent", &header)], Some(&body)).await.unwrap();
    assert_eq!(order.status, 200, "{:?}", order.body);
    let id = order.body["id"].as_str().unwrap();
    let saga = client.at_rest(id).await;
    assert_eq!(saga["status"], "COMPENSATED");
    assert_eq!(saga["traceId"], trace);

    let wanted = [
        ("saga", "reserve-inventory ACTION", 1),
        ("saga", "charge-payment ACTION", 5),
        ("saga", "charge-payment COMPENSATE", 1),
        ("saga", "reserve-inventory COMPENSATE", 1),
        ("saga", "notify-customer ACTION", 1),
    ];
    let whole = |spans: &[Seen]| {
        let by_saga = wanted.iter().all(|(service, name, count)| named(spans, service, name).len() == *count);
        let by_workers = ["worker-inventory", "worker-payment", "worker-notification"]
            .iter()
            .all(|service| spans.iter().any(|seen| seen.service == *service));
        by_saga && by_workers && spans.iter().any(|seen| seen.span.name == "POST /orders")
    };
    let spans = spans_of(&collected, trace, whole).await;

    let ids: BTreeMap<Vec<u8>, &Seen> = spans.iter().map(|seen| (seen.span.span_id.clone(), seen)).collect();
    let root = spans.iter().find(|seen| seen.span.name == "POST /orders").unwrap();
    assert_eq!(root.span.parent_span_id, u64::from_str_radix(parent, 16).unwrap().to_be_bytes(), "the caller's span");
    for seen in &spans {
        let parent = ids.get(&seen.span.parent_span_id);
        match seen.service.as_str() {
            "saga" if seen.span.name == "POST /orders" => {}
            "saga" => assert_eq!(parent.unwrap().span.span_id, root.span.span_id, "{}", seen.span.name),
            worker => {
                let command = parent.unwrap_or_else(|| panic!("{worker}: {} has no parent here", seen.span.name));
                assert_eq!(command.service, "saga");
                for name in ["saga.id", "saga.definition", "saga.step", "saga.kind", "saga.attempt"] {
                    assert_eq!(seen.attribute(name), command.attribute(name), "{worker} {name}");
                }
            }
        }
        if seen.service == "saga" && seen.span.name.contains(' ') && seen.span.name != "POST /orders" {
            assert_eq!(seen.attribute("saga.id"), id);
            assert_eq!(seen.attribute("saga.definition"), "order-fulfilment");
        }
    }
    let undo = named(&spans, "saga", "reserve-inventory COMPENSATE")[0];
    let action = named(&spans, "saga", "reserve-inventory ACTION")[0];
    assert_eq!(undo.span.links.len(), 1);
    assert_eq!(undo.span.links[0].span_id, action.span.span_id, "the span that it undoes");
    let refund = named(&spans, "saga", "charge-payment COMPENSATE")[0];
    let last = named(&spans, "saga", "charge-payment ACTION")
        .into_iter()
        .find(|seen| seen.attribute("saga.attempt") == "5")
        .unwrap();
    assert_eq!(refund.span.links[0].span_id, last.span.span_id);
}
