use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while `act` runs.
fn lines(format: LogFormat, filter: Option<&str>, act: impl FnOnce()) -> Vec<String> {
    let kept = Kept::default();
    let writer = kept.clone();
    let layer = layer_to(format, filter, false, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn json_is_flat_and_one_object_a_line() {
    let lines = lines(LogFormat::Json, None, || {
        let _span = tracing::info_span!("around").entered();
        tracing::info!(saga.id = "a", step.attempt = 2, "Payment success\nfor \"you\"");
        tracing::debug!("not wanted");
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let object: Value = serde_json::from_str(line).unwrap();
    assert_eq!(object["message"], "Payment success\nfor \"you\"");
    assert_eq!(object["level"], "INFO");
    assert_eq!(object["target"], "service::telemetry::log::tests");
    assert_eq!((&object["saga.id"], &object["step.attempt"]), (&Value::from("a"), &Value::from(2)));
    let timestamp = object["timestamp"].as_str().unwrap();
    assert_eq!(crate::time::parse(timestamp).unwrap().to_string(), timestamp);
    assert_eq!(object.as_object().unwrap().len(), 6, "{object}");
}

#[test]
fn text_is_for_people() {
    let lines = lines(LogFormat::Text, None, || tracing::warn!(saga.id = "a", "Stuck"));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("WARN") && line.contains("Stuck") && line.contains("saga.id=\"a\""), "{line}");
}

#[test]
fn libraries_are_quiet_unless_asked() {
    let speak = || {
        tracing::info!(target: "sqlx::query", "SELECT 1");
        tracing::warn!(target: "librdkafka", "FAIL");
        let _request = tracing::info_span!(target: SPANS, "request").entered();
        tracing::info!("within a request");
    };
    let quiet = lines(LogFormat::Text, None, speak);
    assert_eq!(quiet.len(), 2, "{quiet:?}");
    assert!(!quiet[1].contains("request{"), "a span of a trace is not part of a log line: {quiet:?}");
    assert_eq!(lines(LogFormat::Text, Some("sqlx=info"), speak).len(), 1);
}
