//! The duty of a worker, done once for all participants.
//!
//! ```text
//!   batch --read--> waves --claim--> answers ------------------------.
//!             |        ^        '--> settle, act, undo --record------+--> replies
//!             |        '--- busy, or the claim was lost <------------'
//!             '--> dead letters
//! ```
//!
//! A batch is cut into waves, no two commands of a wave about the same saga, and each wave is decided by one statement
//! of the ledger, done by one call of the participant, and recorded by one more statement. Whatever happens in
//! between (a crash, a lost connection, a frozen process), asking the ledger again is always right, so every road that
//! is not the straight one leads back to the claim.

mod call;
mod read;
mod reply;
mod serve;
mod wave;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use saga_model::wire::{DeadLetterCode, Unreadable};
use service::metrics::DeadLetterLabels;
use service::metrics::prometheus_client::metrics::counter::Counter;
use service::metrics::prometheus_client::metrics::family::Family;

use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::layers::Calls;
use crate::ledger::{ClaimId, Ending, Ledger};
use crate::observe::Observer;
use crate::participant::Participant;
use crate::patience::{Hopeless, Patience, Stopping};
use crate::transport::{Delivery, Sent, Sink};
use read::Item;
pub use serve::serve;

/// Takes a batch and returns once everything about it is durable but for the messages still on their way.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// # Errors
    /// If the worker is asked to stop before; the batch then comes again.
    async fn handle(&self, batch: Vec<Delivery>) -> Result<Vec<Sent>, Stopping>;
}

/// What every runtime of a process shares.
#[derive(Clone)]
pub struct Surroundings {
    pub dead_letters: Arc<dyn DeadLetters>,
    pub sink: Arc<dyn Sink>,
    pub patience: Patience,
    /// `saga_dead_letters_total`, see [`service::metrics::Metrics::dead_letters`].
    pub letters_total: Family<DeadLetterLabels, Counter>,
}

/// How long a participant may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A call is not waited for longer than this, and is then answered UNKNOWN.
    pub effect: Duration,
    /// For so long after a claim its holder is believed alive. Longer than `effect`, or two may act at once (which the
    /// participant's keys make harmless, not cheap).
    pub lease: Duration,
}

impl Limits {
    /// The lease that goes with a limit for effects.
    pub fn for_effects_of(effect: Duration) -> Self {
        Self { effect, lease: effect + Duration::from_secs(2) }
    }
}

/// A participant with its duty.
pub struct Runtime<P: Participant> {
    participant: Arc<P>,
    calls: Calls<P::Task>,
    ledger: Arc<dyn Ledger>,
    around: Surroundings,
    observer: Observer,
    lease: Duration,
}

impl<P: Participant> Runtime<P> {
    pub fn new(
        participant: P,
        ledger: Arc<dyn Ledger>,
        around: Surroundings,
        observer: Observer,
        limits: Limits,
    ) -> Self {
        let participant = Arc::new(participant);
        let calls = Calls::around(&participant, limits.effect);
        Self { participant, calls, ledger, around, observer, lease: limits.lease }
    }

    /// Handles a wave; if something in it cannot be handled, halves it until the culprit is alone.
    async fn isolate(&self, wave: Vec<Item<P::Task>>, sent: &mut Vec<Sent>) -> Result<(), Stopping> {
        let claim = ClaimId::new();
        let mut waiting = vec![wave];
        while let Some(mut wave) = waiting.pop() {
            let detail = match self.answer(claim, wave.clone(), sent).await {
                Ok(()) => continue,
                Err(Hopeless::Stopping) => return Err(Stopping),
                Err(Hopeless::Poison(detail)) => detail,
            };
            if wave.len() > 1 {
                let second = wave.split_off(wave.len() / 2);
                waiting.extend([second, wave]);
                continue;
            }
            let why = Unreadable::new(DeadLetterCode::EngineError, detail);
            self.give_back(claim, &wave).await?;
            let letters = wave.iter().map(|item| DeadLetter::new((*item.delivery).clone(), why.clone())).collect();
            self.around.bury(letters, sent).await?;
        }
        Ok(())
    }

    /// Ends the leases of a claim, so that nobody has to wait for them.
    async fn give_back(&self, claim: ClaimId, wave: &[Item<P::Task>]) -> Result<(), Stopping> {
        let open = |item: &Item<P::Task>| item.record(Ending::Open);
        let records: Vec<_> = wave.iter().map(open).collect();
        match self.around.patience.insist(|| self.ledger.record(claim, &records)).await {
            Ok(_held) => Ok(()),
            Err(Hopeless::Stopping) => Err(Stopping),
            Err(Hopeless::Poison(detail)) => {
                tracing::warn!(detail, "A claim could not be given back; it ends by itself");
                Ok(())
            }
        }
    }
}

#[async_trait]
impl<P: Participant> Handler for Runtime<P> {
    async fn handle(&self, batch: Vec<Delivery>) -> Result<Vec<Sent>, Stopping> {
        let (mut sent, began) = (Vec::new(), Instant::now());
        let read::Batch { waves, letters } = read::read(&*self.participant, &self.observer, batch);
        self.around.bury(letters, &mut sent).await?;
        for wave in waves {
            self.isolate(wave, &mut sent).await?;
        }
        self.observer.batch(began.elapsed());
        Ok(sent)
    }
}

impl Surroundings {
    /// Counts the dead letters of a topic from nought on: a count that appears with its first letter has not grown.
    pub fn count_letters_of(&self, topic: &str) {
        for code in DeadLetterCode::ALL {
            self.letters_total.get_or_create(&labels(topic, code)).inc_by(0);
        }
    }

    /// Keeps dead letters and sends them on.
    ///
    /// # Errors
    /// If the worker is asked to stop before they are kept.
    pub async fn bury(&self, letters: Vec<DeadLetter>, sent: &mut Vec<Sent>) -> Result<(), Stopping> {
        if letters.is_empty() {
            return Ok(());
        }
        match self.patience.insist(|| self.dead_letters.keep(&letters)).await {
            Ok(()) => {}
            Err(Hopeless::Stopping) => return Err(Stopping),
            // It still goes to the topic: a letter that even the list refuses must not stop the partition.
            Err(Hopeless::Poison(detail)) => tracing::error!(detail, "A dead letter could not be kept in the list"),
        }
        for letter in &letters {
            let Delivery { topic, partition, offset, .. } = &letter.delivery;
            self.letters_total.get_or_create(&labels(topic, letter.why.code)).inc();
            tracing::warn!(topic = &**topic, partition, offset, why = %letter.why, "A message cannot be read: a dead letter");
        }
        sent.push(self.sink.send(letters.iter().map(DeadLetter::message).collect()));
        Ok(())
    }
}

/// A topic as its reader calls it, without the prefix of the cluster.
fn labels(topic: &str, code: DeadLetterCode) -> DeadLetterLabels {
    DeadLetterLabels { topic: topic.to_owned(), code: code.as_str().to_owned() }
}
