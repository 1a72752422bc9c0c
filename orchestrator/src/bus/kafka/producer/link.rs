//! The library's client of one class, replaced when it has come to an error that it cannot get over.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{Producer as _, PurgeConfig, ThreadedProducer};

use super::courier::Note;
use super::deliveries::Deliveries;
use super::lane::backoff;
use crate::bus::AckSink;
use crate::bus::unacked::Unacked;

/// What a client is made of.
pub(super) struct Recipe {
    pub(super) config: ClientConfig,
    pub(super) sink: AckSink,
    pub(super) unacked: Arc<Unacked>,
    pub(super) notes: Sender<Note>,
}

impl Recipe {
    fn make(&self) -> KafkaResult<Client> {
        let (sink, unacked, notes) = (self.sink.clone(), self.unacked.clone(), self.notes.clone());
        self.config.create_with_context(Deliveries { sink, unacked, notes })
    }
}

pub(super) type Client = ThreadedProducer<Deliveries>;

/// So long a client that is given up may still bring in what is on the wire: what it brings is not sent twice.
const GRACE: Duration = Duration::from_secs(2);
/// A client that lasted this long was a good one.
const LASTED: Duration = Duration::from_secs(60);

pub(super) struct Link {
    recipe: Recipe,
    state: State,
    made_at: Instant,
    /// Clients in a row that did not last.
    failures: u32,
}

enum State {
    Up(Client),
    /// It takes nothing any more, and what it has comes back.
    GivenUp {
        client: Client,
        purge_at: Option<Instant>,
    },
    Down {
        retry_at: Instant,
    },
}

impl Link {
    /// # Errors
    /// If the configuration is not a valid one. (A broker that is away is no error here.)
    pub(super) fn new(recipe: Recipe) -> KafkaResult<Self> {
        let client = recipe.make()?;
        Ok(Self { recipe, state: State::Up(client), made_at: Instant::now(), failures: 0 })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    pub(super) fn producer(&self) -> Option<&Client> {
        match &self.state {
            State::Up(client) => Some(client),
            State::GivenUp { .. } | State::Down { .. } => None,
        }
    }

    /// Gives the client up if it can do no more.
    pub(super) fn check(&mut self) {
        let Some((code, reason)) = self.producer().and_then(|client| client.client().fatal_error()) else { return };
        tracing::warn!(%code, "The Kafka producer is given up for a new one: {reason}");
        self.failures = match code {
            // A topic's fault, which waits for itself: the others go on at once.
            RDKafkaErrorCode::GaplessGuarantee => 0,
            _ if self.made_at.elapsed() >= LASTED => 1,
            _ => self.failures.saturating_add(1),
        };
        let state = std::mem::replace(&mut self.state, State::Down { retry_at: Instant::now() });
        if let State::Up(client) = state {
            self.state = State::GivenUp { client, purge_at: Some(Instant::now() + GRACE) };
        }
    }

    /// Goes on if it is time; `idle` says that the client holds no message any more and that all reports are in.
    pub(super) fn look(&mut self, now: Instant, idle: bool) {
        match &mut self.state {
            State::Up(_) => {}
            State::GivenUp { .. } if idle => {
                let wait = if self.failures == 0 { Duration::ZERO } else { backoff(self.failures) };
                self.state = State::Down { retry_at: now + wait };
            }
            State::GivenUp { client, purge_at } => {
                if purge_at.is_some_and(|at| at <= now) {
                    client.purge(PurgeConfig::default().queue().inflight());
                    *purge_at = None;
                }
            }
            State::Down { retry_at } if *retry_at <= now => match self.recipe.make() {
                Ok(client) => (self.state, self.made_at) = (State::Up(client), now),
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    tracing::error!(%error, "A Kafka producer cannot be made");
                    self.state = State::Down { retry_at: now + backoff(self.failures) };
                }
            },
            State::Down { .. } => {}
        }
    }
}
