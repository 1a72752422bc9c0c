//! What librdkafka has to say, as log lines of a sane number and level.
//!
//! A broker that is away makes each client repeat itself several times a second. That it is away is said once, by
//! the health of the process; here it is a detail.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

/// The target of its log lines.
const TARGET: &str = "librdkafka";

/// A client context that does nothing but log. Other contexts call [`client_log`] and [`client_error`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientLog;

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }

    fn stats(&self, _: Statistics) {} // none are asked for
}

/// Logs a line of the library.
pub fn client_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match (level, facility) {
        // A connection that broke or could not be made: tried again for ever.
        (_, "FAIL" | "ERROR") => tracing::debug!(target: TARGET, facility, "{message}"),
        // What librdkafka thinks of our settings: they are meant.
        (_, "CONFWARN") => tracing::debug!(target: TARGET, facility, "{message}"),
        (Emerg | Alert | Critical, _) => tracing::error!(target: TARGET, facility, "{message}"),
        (Error | Warning, _) => tracing::warn!(target: TARGET, facility, "{message}"),
        (Notice | Info | Debug, _) => tracing::debug!(target: TARGET, facility, "{message}"),
    }
}

/// Logs an error of a client as a whole.
pub fn client_error(error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut,
        ) => tracing::debug!(target: TARGET, %error, "{reason}"),
        // The client is of no more use: nothing that we do leads here, and nothing here gets out of it.
        Some(RDKafkaErrorCode::Fatal) => tracing::error!(target: TARGET, %error, "{reason}"),
        Some(_) | None => tracing::warn!(target: TARGET, %error, "{reason}"),
    }
}
