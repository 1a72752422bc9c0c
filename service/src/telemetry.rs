//! What a process tells about itself: log lines on standard error, and traces to a collector.
//!
//! Traces are made in two ways. What happens within this process (a request) is a `tracing` span of the target
//! [`SPANS`]. What outlives it (a saga, its commands) is made with a [`Tracer`], which takes its ids and its parent
//! as arguments, so that a process that comes later goes on with the same trace.

mod ids;
mod log;
mod tracer;

use std::collections::BTreeMap;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::exit::Stop;
use crate::settings::{LogArgs, OtlpEndpoint};

pub use tracer::{Place, Span, SpanStart, Tracer};

/// The target of `tracing` spans that are part of a trace. They are not logged.
pub const SPANS: &str = "saga::spans";

/// How long one attempt to reach the collector may take.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5);

/// Where traces go. One process may be several services: each has a [`Tracer`] of its own.
#[derive(Debug)]
pub struct Telemetry {
    endpoint: Option<OtlpEndpoint>,
    providers: Mutex<BTreeMap<String, SdkTracerProvider>>,
}

/// Begins to log and to trace, for the whole process: once, before anything else. Requests are traced as `service`.
/// From here on a panic is a log line, too.
///
/// # Errors
/// If it has begun before.
pub fn init(args: &LogArgs, service: &str) -> Result<Telemetry, Stop> {
    let telemetry = Telemetry::to(args.otel_exporter_otlp_endpoint.clone());
    let spans = telemetry.sdk_tracer(service)?.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == SPANS))
    });
    Registry::default()
        .with(spans)
        .with(log::layer(args)?)
        .try_init()
        .map_err(|error| Stop::Failed(format!("cannot begin to log: {error}")))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(telemetry)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or_default().to_owned();
    tracing::error!(at, thread, "Panic: {}", panic.payload_as_str().unwrap_or("(no message)"));
}

impl Telemetry {
    /// Traces to a collector, or none.
    pub fn to(endpoint: Option<OtlpEndpoint>) -> Self {
        Self { endpoint, providers: Mutex::default() }
    }

    /// The tracer of a service (`service.name`); the same again for the same name.
    ///
    /// # Errors
    /// If the client for the collector cannot be made.
    pub fn tracer(&self, service: &str) -> Result<Tracer, Stop> {
        Ok(Tracer::new(self.sdk_tracer(service)?))
    }

    fn sdk_tracer(&self, service: &str) -> Result<Option<opentelemetry_sdk::trace::SdkTracer>, Stop> {
        let Some(endpoint) = &self.endpoint else { return Ok(None) };
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        let provider = match providers.get(service) {
            Some(provider) => provider.clone(),
            None => provider(endpoint, service)?,
        };
        let tracer = provider.tracer("saga");
        providers.insert(service.to_owned(), provider);
        Ok(Some(tracer))
    }

    /// Sends what is not sent yet, for at most so long, and ends. Spans that end later are lost.
    pub async fn shutdown(&self, at_most: Duration) {
        let providers = std::mem::take(&mut *self.providers.lock().unwrap_or_else(PoisonError::into_inner));
        // Each blocks a thread until it is done or out of time; together they take as long as one.
        let ends: Vec<_> = providers
            .into_iter()
            .map(|(service, provider)| {
                tokio::task::spawn_blocking(move || (service, provider.shutdown_with_timeout(at_most)))
            })
            .collect();
        for end in ends {
            match tokio::time::timeout(at_most, end).await {
                Ok(Ok((_, Ok(())))) => {}
                Ok(Ok((service, Err(error)))) => tracing::warn!(service, %error, "The last spans could not be sent"),
                Ok(Err(error)) => tracing::warn!(%error, "The last spans could not be sent"),
                Err(_) => tracing::warn!("The last spans could not be sent in time"),
            }
        }
    }
}

fn provider(endpoint: &OtlpEndpoint, service: &str) -> Result<SdkTracerProvider, Stop> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.traces_url())
        .with_timeout(EXPORT_PATIENCE)
        .build()
        .map_err(|error| Stop::Failed(format!("cannot send traces: {error}")))?;
    Ok(SdkTracerProvider::builder()
        .with_id_generator(ids::PlannedIds::default())
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
        .with_batch_exporter(exporter)
        .build())
}
