//! Lines about a trouble that lasts, now and then: a topic that nobody may write to would otherwise fill a disk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use service::kafka::{client_error, client_log};

/// Of one kind, at most one line in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// So many kinds are told apart.
const KINDS: usize = 64;

/// Decides which lines are written.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<HashMap<String, Last>>);

#[derive(Debug)]
struct Last {
    at: Instant,
    left_out: u64,
}

impl Seldom {
    /// Whether a line of this kind may be written now, and how many were left out since the last one.
    pub(super) fn allows(&self, kind: &str) -> Option<u64> {
        self.allows_at(kind, Instant::now())
    }

    fn allows_at(&self, kind: &str, now: Instant) -> Option<u64> {
        // A map of times is as good after a panic as before.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(kind) {
            Some(last) if now.duration_since(last.at) < INTERVAL => {
                last.left_out += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.left_out))
            }
            None => {
                if last.len() >= KINDS {
                    last.retain(|_, last| now.duration_since(last.at) < INTERVAL);
                }
                if last.len() >= KINDS {
                    return None;
                }
                last.insert(kind.to_owned(), Last { at: now, left_out: 0 });
                Some(0)
            }
        }
    }
}

/// The context of a client that reads or looks: it does nothing but log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice;

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ConsumerContext for Voice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_in_an_interval() {
        let (lines, start) = (Seldom::default(), Instant::now());
        assert_eq!(lines.allows_at("a", start), Some(0));
        assert_eq!(lines.allows_at("a", start + INTERVAL / 2), None);
        assert_eq!(lines.allows_at("b", start + INTERVAL / 2), Some(0));
        assert_eq!(lines.allows_at("a", start + INTERVAL), Some(1));
    }

    #[test]
    fn kinds_do_not_pile_up() {
        let (lines, start) = (Seldom::default(), Instant::now());
        for kind in 0..1000 {
            lines.allows_at(&kind.to_string(), start);
        }
        assert_eq!(lines.0.lock().unwrap().len(), KINDS);
        assert_eq!(lines.allows_at("later", start + INTERVAL), Some(0));
        assert_eq!(lines.0.lock().unwrap().len(), 1);
    }
}
