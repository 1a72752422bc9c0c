//! What is logged and where traces go.

use std::io::IsTerminal;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Logs (on standard error) and traces.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs and traces")]
pub struct LogArgs {
    /// What is logged, such as debug or info,orchestrator=debug [default: info]
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", value_parser = filter)]
    pub rust_log: Option<String>,

    /// How it is logged [default: text on a terminal, else json]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// Where traces go (OTLP over HTTP), such as http://127.0.0.1:4318; none unless given
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otel_exporter_otlp_endpoint: Option<OtlpEndpoint>,
}

/// How a log line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl LogArgs {
    /// The format that was said, or else the one that suits standard error.
    pub fn format(&self) -> LogFormat {
        self.log_format
            .unwrap_or_else(|| if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json })
    }
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: write a level, such as info, or target=level, several with commas")),
    }
}

/// A collector of traces: the base address, without `/v1/traces`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtlpEndpoint(String);

/// The text is no address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write http://host:port, such as http://127.0.0.1:4318 (TLS is not built in)")]
pub struct InvalidEndpoint;

impl OtlpEndpoint {
    /// Where traces are posted to.
    pub fn traces_url(&self) -> String {
        format!("{}/v1/traces", self.0)
    }
}

impl FromStr for OtlpEndpoint {
    type Err = InvalidEndpoint;
    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let uri: axum::http::Uri = text.parse().map_err(|_| InvalidEndpoint)?;
        let usable = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
        if usable && uri.query().is_none() {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(InvalidEndpoint)
        }
    }
}
