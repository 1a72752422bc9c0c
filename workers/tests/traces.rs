//! The spans of a worker: one for each command, in the saga's trace, and a compensation's linked to what it undoes.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use common::commands::{Ask, new_saga, payload};
use common::database;
use common::parts::{Bench, LONG};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use service::telemetry::Telemetry;
use tokio::net::TcpListener;
use workers::ledger::sql::SqlLedger;
use workers::shop::gateway::SimulatedGateway;
use workers::shop::gateway::entries::Entries;
use workers::shop::gateway::simulated::SuccessRate;
use workers::shop::payment::Payment;
use workers::sql::Db;
use workers::transport::Outgoing;

/// Spans, with the name of their service.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let take = |State(spans): State<Spans>, body: Bytes| async move {
        for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let service = text(&resource.resource.unwrap().attributes, "service.name");
            let of_scope = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(of_scope.map(|span| (service.clone(), span)));
        }
    };
    let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, spans)
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value.unwrap_or_else(|| panic!("{key} is missing")) {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traceparent(message: &Outgoing) -> String {
    message.headers.text("traceparent").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_stand_in_the_trace_of_the_saga() {
    let (url, spans) = collector().await;
    let telemetry = Telemetry::to(Some(url.parse().unwrap()));
    let tracer = telemetry.tracer("worker-payment").unwrap();
    let db = Db::new(database::sqlite().await).unwrap();
    let gateway = Arc::new(SimulatedGateway::new(Entries::new(db.clone()), SuccessRate::ALL));
    let bench = Bench::traced(Payment::new(gateway), Arc::new(SqlLedger::new(db)), LONG, tracer);
    let saga = new_saga();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let asked = Ask::action(saga, "charge-payment", payload(saga, &[], Some("pm_approve")));
    let mut answers = Vec::new();
    for (n, ask) in [asked.clone(), asked.undo(), asked.attempt(2)].iter().enumerate() {
        let mut delivery = ask.delivery();
        let parent = format!("00-{trace}-000000000000000{}-01", n + 1);
        delivery.headers.push("traceparent", parent.as_bytes());
        delivery.headers.push("baggage", b"saga.definition=order-fulfilment");
        for sent in bench.handler.handle(vec![delivery]).await.unwrap() {
            sent.await;
        }
        answers.push(bench.sink.0.lock().unwrap().pop().unwrap());
    }
    telemetry.shutdown(Duration::from_secs(20)).await;
    let mut spans = spans.lock().unwrap().clone();
    spans.sort_by_key(|(_, span)| span.parent_span_id.clone());
    assert_eq!(spans.len(), 3);
    let told = [("ACTION", "1", "SUCCEEDED"), ("COMPENSATE", "1", "SUCCEEDED"), ("ACTION", "2", "REJECTED")];
    for (n, ((service, span), (kind, attempt, outcome))) in spans.iter().zip(told).enumerate() {
        assert_eq!((service.as_str(), span.name.as_str()), ("worker-payment", &*format!("charge-payment {kind}")));
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (trace.to_owned(), format!("000000000000000{}", n + 1))
        );
        for (key, value) in [
            ("saga.id", saga.to_string().as_str()),
            ("saga.definition", "order-fulfilment"),
            ("saga.step", "charge-payment"),
            ("saga.kind", kind),
            ("saga.attempt", attempt),
            ("saga.outcome", outcome),
        ] {
            assert_eq!(text(&span.attributes, key), value);
        }
        // What comes next stands under it.
        assert_eq!(traceparent(&answers[n]), format!("00-{trace}-{}-01", hex(&span.span_id)));
    }
    let links: Vec<Vec<String>> =
        spans.iter().map(|(_, span)| span.links.iter().map(|link| hex(&link.span_id)).collect()).collect();
    assert_eq!(links, [vec![], vec![hex(&spans[0].1.span_id)], vec![]]);
}
