//! Traces, against a collector in this process.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use clap::Parser;
use common::{FOREVER, Server};
use opentelemetry::trace::SpanKind;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use saga_model::Micros;
use service::http::{RequestTrace, edge};
use service::metrics::Metrics;
use service::settings::LogArgs;
use service::telemetry::{self, Place, SpanStart, Telemetry, Tracer};
use service::traceparent::{TraceParent, new_trace_id, span_id_of};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Keeps what it is sent: (service, span).
struct Collector {
    server: Server,
    received: UnboundedReceiver<(String, Span)>,
}

impl Collector {
    async fn start() -> Self {
        let (send, received) = unbounded_channel();
        let take = async move |body: Bytes| {
            for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                let attributes = text_attributes(&resource.resource.unwrap().attributes);
                for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    send.send((attributes["service.name"].clone(), span)).unwrap();
                }
            }
        };
        let server = Server::start(Router::new().route("/v1/traces", post(take))).await;
        Self { server, received }
    }

    fn telemetry(&self) -> Telemetry {
        Telemetry::to(Some(self.server.url("/").parse().unwrap()))
    }

    /// All that has been sent, by name.
    fn spans(&mut self) -> BTreeMap<String, (String, Span)> {
        std::iter::from_fn(|| self.received.try_recv().ok())
            .map(|(service, span)| (span.name.clone(), (service, span)))
            .collect()
    }
}

fn text_attributes(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap())))
        .collect()
}

#[tokio::test]
async fn spans_of_several_services_make_one_trace() {
    let mut collector = Collector::start().await;
    let telemetry = collector.telemetry();
    let saga = telemetry.tracer("saga").unwrap();
    let worker = telemetry.tracer("worker-payment").unwrap();

    let trace = new_trace_id();
    let root =
        saga.start(Place::Root(trace), SpanStart::new("order-fulfilment", SpanKind::Internal).at(Micros(1_000_000)));
    let action_id = span_id_of("saga/charge-payment/ACTION/1/1");
    let action = SpanStart::new("charge-payment", SpanKind::Producer).id(action_id).with("saga.attempt", 1);
    let action = saga.start(Place::Under(root.place()), action);
    assert_eq!(action.place().span_id(), action_id);
    let parent: TraceParent = action.place().to_string().parse().unwrap();
    let mut work = worker.start(Place::Under(parent), SpanStart::new("work", SpanKind::Consumer));
    work.failed("declined");
    work.set("saga.step", "charge-payment");
    drop(work);
    let undo = SpanStart::new("undo", SpanKind::Producer).link(action.place());
    drop(saga.start(Place::Under(root.place()), undo));
    drop(action);
    root.end_at(Micros(3_000_000));
    telemetry.shutdown(FOREVER).await;

    let spans = collector.spans();
    let services: Vec<_> = spans.iter().map(|(name, (service, _))| (name.as_str(), service.as_str())).collect();
    assert_eq!(
        services,
        [("charge-payment", "saga"), ("order-fulfilment", "saga"), ("undo", "saga"), ("work", "worker-payment")]
    );
    let span = |name: &str| &spans[name].1;
    for (_, span) in spans.values() {
        assert_eq!(span.trace_id, trace.to_bytes());
    }
    assert_eq!(span("order-fulfilment").parent_span_id, b"");
    assert_eq!(span("order-fulfilment").start_time_unix_nano, 1_000_000_000);
    assert_eq!(span("order-fulfilment").end_time_unix_nano, 3_000_000_000);
    assert_eq!(span("charge-payment").span_id, action_id.to_bytes());
    assert_eq!(span("charge-payment").parent_span_id, span("order-fulfilment").span_id);
    assert_eq!(span("work").parent_span_id, span("charge-payment").span_id);
    assert_eq!(span("work").status.as_ref().unwrap().message, "declined");
    assert_eq!(text_attributes(&span("work").attributes)["saga.step"], "charge-payment");
    assert_eq!(span("undo").links[0].span_id, span("charge-payment").span_id);
    assert_ne!(span("undo").span_id, span("charge-payment").span_id, "a planned id is for one span");
}

#[tokio::test]
async fn with_telemetry_off_traces_are_passed_on() {
    let off = Telemetry::to(None);
    let tracer = off.tracer("saga").unwrap();
    assert!(!tracer.is_on());
    let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".parse().unwrap();
    let span = tracer.start(Place::Under(parent), SpanStart::new("x", SpanKind::Internal));
    assert_eq!(span.place(), parent);
    let trace = new_trace_id();
    let id = span_id_of("a saga");
    let root = Tracer::OFF.start(Place::Root(trace), SpanStart::new("x", SpanKind::Internal).id(id));
    assert_eq!((root.place().trace_id(), root.place().span_id()), (trace, id));
    off.shutdown(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_the_end_up_for_a_while_only() {
    // It takes connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let telemetry = Telemetry::to(endpoint.parse().ok());
    let tracer = telemetry.tracer("saga").unwrap();
    drop(tracer.start(Place::Root(new_trace_id()), SpanStart::new("x", SpanKind::Internal)));
    let begun = Instant::now();
    telemetry.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    log: LogArgs,
}

/// The one test that begins logging for the whole process.
#[tokio::test]
async fn a_request_is_a_span_under_what_the_client_sent() {
    let mut collector = Collector::start().await;
    let endpoint = format!("--otel-exporter-otlp-endpoint={}", collector.server.url(""));
    let args = Args::parse_from(["saga", "--rust-log=error", &endpoint]);
    let telemetry = telemetry::init(&args.log, "saga").unwrap();
    let trace =
        async |RequestTrace(trace): RequestTrace| trace.map_or_else(|| "none".to_owned(), |trace| trace.to_string());
    let routes = Router::new().route("/orders/{id}", get(trace)).route("/livez", get(trace));
    let server = Server::start(edge(routes, Metrics::new().http())).await;

    let sent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let client = reqwest::Client::new();
    let ask = async |path: &str| {
        let request = client.get(server.url(path)).header("traceparent", sent.to_string());
        request.send().await.unwrap().text().await.unwrap()
    };
    let place: TraceParent = ask("/orders/1").await.parse().unwrap();
    assert_eq!(place.trace_id(), sent.trace_id());
    assert_ne!(place.span_id(), sent.span_id());
    assert_eq!(ask("/livez").await, "none");
    telemetry.shutdown(FOREVER).await;

    let spans = collector.spans();
    let (service, span) = &spans["GET /orders/{id}"];
    assert_eq!((service.as_str(), spans.len()), ("saga", 1));
    assert_eq!(span.span_id, place.span_id().to_bytes());
    assert_eq!(span.parent_span_id, sent.span_id().to_bytes());
    assert_eq!(span.kind, 2, "a server's span");
    let attributes = text_attributes(&span.attributes);
    assert_eq!(attributes["http.route"], "/orders/{id}");
    assert_eq!(attributes["http.response.status_code"], "IntValue(200)");
}
