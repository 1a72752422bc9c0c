//! A bank and a town crier, in memory: what the real payment worker charges at, and a worker that tells customers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind};
use saga_model::wire::command::Command;
use saga_model::wire::{DeadLetterCode, Unreadable};
use workers::participant::{Acted, EffectKey, Job, Participant, Settled, Undone};
use workers::shop::gateway::{Captured, Charge, Doubt, Gateway, Method, Refund, Refunded};
use workers::trouble::Trouble;

use super::bugs::Bug;
use super::ground::Ground;

/// A payment method that this bank refuses once, and would take if it were asked again.
pub const CHANGES_ITS_MIND: &str = "pm_changes_its_mind";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// So many times.
    Captured(u32),
    Refunded,
    /// It never will be captured.
    Void,
}

/// Once per key.
pub struct Bank {
    ground: Arc<Ground>,
    entries: Mutex<BTreeMap<EffectKey, Entry>>,
    /// Charges that it refused, and would take if it were asked again.
    refused: Mutex<BTreeSet<EffectKey>>,
}

impl Bank {
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground, entries: Mutex::default(), refused: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EffectKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many captures of a saga stand.
    pub fn captures(&self, saga: SagaId) -> u32 {
        let standing = |(key, entry): (&EffectKey, &Entry)| match entry {
            Entry::Captured(times) if key.saga == saga => *times,
            Entry::Captured(_) | Entry::Refunded | Entry::Void => 0,
        };
        self.lock().iter().map(standing).sum()
    }

    /// Whether it has never been asked this.
    fn refuses(&self, key: &EffectKey) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone())
    }

    fn capture(&self, charge: &Charge) -> Captured {
        let declined = || Captured::Declined(Failure::new("PAYMENT_DECLINED", "the bank declined"));
        match &charge.method {
            Method::Decline => return declined(),
            Method::Unknown(name) if name == CHANGES_ITS_MIND && self.refuses(&charge.key) => return declined(),
            Method::Flaky if charge.attempt == 1 => return Captured::Retry(Failure::new("GATEWAY_BUSY", "not now")),
            _ => {}
        }
        let mut entries = self.lock();
        let entry = entries.entry(charge.key.clone()).or_insert(Entry::Captured(0));
        match entry {
            Entry::Captured(times) => {
                let again = self.ground.has(Bug::ChargedTwice);
                *times = if again { *times + 1 } else { 1 };
                Captured::Yes
            }
            Entry::Refunded => Captured::Yes,
            Entry::Void => Captured::Declined(Failure::new("COMPENSATED_ALREADY", "called off before")),
        }
    }

    fn refund(&self, refund: &Refund) -> Refunded {
        if refund.method == Method::RefundFails && refund.attempt <= 2 {
            return Refunded::Retry(Failure::new("REFUND_FAILED", "not now"));
        }
        let mut was_there = false;
        for (key, entry) in self.lock().iter_mut() {
            if key.saga == refund.saga && key.step == refund.step && *entry != Entry::Void {
                was_there = true;
                if !self.ground.has(Bug::RefundNotMade) {
                    *entry = Entry::Refunded;
                }
            }
        }
        Refunded::Done { was_there }
    }
}

#[async_trait]
impl Gateway for Bank {
    async fn capture(&self, charges: &[Charge]) -> Result<Vec<Captured>, Trouble> {
        Ok(charges.iter().map(|charge| Bank::capture(self, charge)).collect())
    }

    async fn settle(&self, doubts: &[Doubt]) -> Result<Vec<bool>, Trouble> {
        let mut entries = self.lock();
        let mut stands = |doubt: &Doubt| *entries.entry(doubt.key.clone()).or_insert(Entry::Void) != Entry::Void;
        Ok(doubts.iter().map(&mut stands).collect())
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<Vec<Refunded>, Trouble> {
        Ok(refunds.iter().map(|refund| Bank::refund(self, refund)).collect())
    }
}

/// What customers were told, by key; none for what is called off.
#[derive(Default)]
pub struct Said(Mutex<BTreeMap<EffectKey, Option<String>>>);

impl Said {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<EffectKey, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcomes that the customer of a saga was told, in the order of the rounds.
    pub fn of(&self, saga: SagaId) -> Vec<String> {
        let entries = self.lock();
        let of_saga = entries.iter().filter(|(key, _)| key.saga == saga);
        of_saga.filter_map(|(_, said)| said.clone()).collect()
    }
}

/// Tells customers, once per key.
pub struct Crier(pub Arc<Said>);

#[async_trait]
impl Participant for Crier {
    type Task = String;

    fn read(&self, command: &Command) -> Result<String, Unreadable> {
        let payload = saga_model::json::parse(command.payload.get().as_bytes())
            .map_err(|error| Unreadable::new(DeadLetterCode::NotJson, error.to_string()))?;
        let outcome = payload.get("outcome").and_then(|outcome| outcome.as_str()).unwrap_or_default();
        if command.kind == Kind::Action && outcome.is_empty() {
            return Err(Unreadable::new(DeadLetterCode::MissingField, "payload.outcome is missing"));
        }
        Ok(outcome.to_owned())
    }

    async fn act(&self, jobs: &[Job<String>]) -> Result<Vec<Acted>, Trouble> {
        let output = RawJson::from_string("{}".to_owned()).map_err(|error| Trouble::Poison(error.to_string()))?;
        let mut said = self.0.lock();
        let mut act = |job: &Job<String>| match said.entry(job.key.clone()).or_insert(Some((*job.task).clone())) {
            Some(_) => Acted::Done(output.clone()),
            None => Acted::Refused(Failure::new("COMPENSATED_ALREADY", "called off before")),
        };
        Ok(jobs.iter().map(&mut act).collect())
    }

    async fn settle(&self, jobs: &[Job<String>]) -> Result<Vec<Settled>, Trouble> {
        let output = RawJson::from_string("{}".to_owned()).map_err(|error| Trouble::Poison(error.to_string()))?;
        let mut said = self.0.lock();
        let mut settle = |job: &Job<String>| match said.entry(job.key.clone()).or_insert(None) {
            Some(_) => Settled::Stands(output.clone()),
            None => Settled::Absent,
        };
        Ok(jobs.iter().map(&mut settle).collect())
    }

    async fn undo(&self, jobs: &[Job<String>]) -> Result<Vec<Undone>, Trouble> {
        Ok(jobs.iter().map(|job| Undone::Done { was_there: !self.0.of(job.key.saga).is_empty() }).collect())
    }
}
