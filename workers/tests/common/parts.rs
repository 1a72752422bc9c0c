//! Runtimes with everything around them, at a test's hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saga_model::wire::reply::ReplyMessage;
use service::metrics::Metrics;
use service::telemetry::Tracer;
use tokio_util::sync::CancellationToken;
use workers::dead_letter::{DeadLetter, DeadLetters};
use workers::ledger::Ledger;
use workers::observe::Observer;
use workers::participant::Participant;
use workers::patience::{Absences, Patience};
use workers::runtime::{Handler, Limits, Runtime, Surroundings};
use workers::transport::{Delivery, Outgoing, Sent, Sink};
use workers::trouble::Trouble;

use super::commands::{Ask, replies, short};

/// Keeps what is sent.
#[derive(Default)]
pub struct KeepingSink(pub Mutex<Vec<Outgoing>>);

impl Sink for KeepingSink {
    fn send(&self, messages: Vec<Outgoing>) -> Sent {
        self.0.lock().unwrap().extend(messages);
        Box::pin(std::future::ready(()))
    }
}

/// Keeps dead letters.
#[derive(Default)]
pub struct KeptLetters(pub Mutex<Vec<DeadLetter>>);

#[async_trait]
impl DeadLetters for KeptLetters {
    async fn keep(&self, letters: &[DeadLetter]) -> Result<(), Trouble> {
        self.0.lock().unwrap().extend_from_slice(letters);
        Ok(())
    }
}

/// A worker that a test talks to.
pub struct Bench {
    pub handler: Arc<dyn Handler>,
    pub sink: Arc<KeepingSink>,
    pub letters: Arc<KeptLetters>,
    pub absences: Absences,
    pub stop: CancellationToken,
}

/// Long enough that no lease ends by itself in a test.
pub const LONG: Limits = Limits { effect: Duration::from_secs(60), lease: Duration::from_secs(60) };

impl Bench {
    pub fn new<P: Participant>(participant: P, ledger: Arc<dyn Ledger>, limits: Limits) -> Self {
        Self::traced(participant, ledger, limits, Tracer::OFF)
    }

    pub fn traced<P: Participant>(participant: P, ledger: Arc<dyn Ledger>, limits: Limits, tracer: Tracer) -> Self {
        let (sink, letters): (Arc<KeepingSink>, Arc<KeptLetters>) = Default::default();
        let (absences, stop) = (Absences::default(), CancellationToken::new());
        let around = Surroundings {
            dead_letters: Arc::clone(&letters) as Arc<dyn DeadLetters>,
            sink: Arc::clone(&sink) as Arc<dyn Sink>,
            patience: Patience::new(absences.clone(), stop.clone()),
            letters_total: Metrics::new().dead_letters(),
        };
        let observer = Observer::new("test", &Metrics::new(), tracer);
        let handler = Arc::new(Runtime::new(participant, ledger, around, observer, limits));
        Self { handler, sink, letters, absences, stop }
    }

    /// Handles messages as one batch; the replies to them.
    pub async fn handle(&self, batch: Vec<Delivery>) -> Vec<ReplyMessage> {
        for sent in self.handler.handle(batch).await.expect("nobody stops this worker") {
            sent.await;
        }
        replies(&std::mem::take(&mut *self.sink.0.lock().unwrap()))
    }

    /// Handles one command; its reply in short, or `silence`.
    pub async fn ask(&self, ask: &Ask) -> String {
        let replies = self.handle(vec![ask.delivery()]).await;
        assert!(replies.len() <= 1, "{replies:?}");
        replies.first().map_or_else(|| "silence".to_owned(), short)
    }
}
