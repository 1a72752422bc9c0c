//! Log lines.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use super::SPANS;
use crate::exit::Stop;
use crate::settings::{LogArgs, LogFormat};

/// What is logged unless `RUST_LOG` says otherwise: ourselves, and of the libraries what goes wrong.
const DEFAULT_FILTER: &str = "info,rdkafka=warn,librdkafka=warn,sqlx=warn,sea_orm=warn,sea_orm_migration=warn,\
                              redis=warn,hyper=warn,hyper_util=warn,reqwest=warn,opentelemetry=warn,\
                              opentelemetry_sdk=warn,opentelemetry_otlp=warn,tower=warn,h2=warn";

/// The layer that writes to standard error. Its times are RFC 3339 in UTC with six fraction digits, as everywhere.
pub(super) fn layer<S>(args: &LogArgs) -> Result<Box<dyn Layer<S> + Send + Sync>, Stop>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let colours = std::io::stderr().is_terminal();
    layer_to(args.format(), args.rust_log.as_deref(), colours, std::io::stderr)
}

fn layer_to<S, W>(
    format: LogFormat,
    filter: Option<&str>,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Layer<S> + Send + Sync>, Stop>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wanted = EnvFilter::builder()
        .parse(filter.unwrap_or(DEFAULT_FILTER))
        .map_err(|error| Stop::Usage(format!("RUST_LOG: {error}")))?;
    let wanted = wanted.and(filter_fn(|metadata| !(metadata.is_span() && metadata.target() == SPANS)));
    // A standard error that is closed must not matter: the default is to panic about it.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    Ok(match format {
        LogFormat::Text => lines.with_ansi(colours).with_filter(wanted).boxed(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            lines.with_filter(wanted).boxed()
        }
    })
}

#[cfg(test)]
mod tests;
