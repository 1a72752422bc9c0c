//! The workers' memory: the real ledger on the world's time, with what bugs make of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::state::{Kind, Outcome};
use workers::ledger::memory::MemoryLedger;
use workers::ledger::{ClaimId, Judgement, Ledger, Question, Record};
use workers::trouble::{Part, Trouble};

use super::bugs::Bug;
use super::fault::Fault;
use super::ground::Ground;

/// See [`Ledger`].
pub struct SimLedger {
    ground: Arc<Ground>,
    inner: MemoryLedger,
    /// What was ever claimed, where a bug needs to know.
    known: Mutex<BTreeSet<(SagaId, Arc<str>)>>,
}

impl SimLedger {
    pub fn new(ground: Arc<Ground>) -> Self {
        let time = Arc::clone(&ground);
        let inner = MemoryLedger::with_clock(Arc::new(move || time.now()));
        Self { ground, inner, known: Mutex::default() }
    }

    fn away(&self) -> Result<(), Trouble> {
        if self.ground.hit(Fault::LedgerAway) {
            return Err(Trouble::Away { part: Part::Database, detail: "it is away".to_owned() });
        }
        Ok(())
    }

    /// Asks about what nobody asked about before without leaving a trace.
    async fn without_tombstones(
        &self,
        claim: ClaimId,
        lease: Duration,
        questions: &[Question],
    ) -> Result<Vec<Judgement>, Trouble> {
        let mut judgements = Vec::with_capacity(questions.len());
        for question in questions {
            let row = (question.key.saga, Arc::clone(&question.key.step));
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&row);
            if question.kind == Kind::Compensate && !known {
                judgements.push(Judgement::Answer(workers::ledger::undone(false)));
            } else {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(row);
                judgements.extend(self.inner.claim(claim, lease, std::slice::from_ref(question)).await?);
            }
        }
        Ok(judgements)
    }

    fn spoil(&self, question: &Question, judgement: &mut Judgement) {
        let Judgement::Answer(answer) = &*judgement else { return };
        let code = answer.error.as_ref().map(|error| error.code.as_str());
        match self.ground.bug {
            Some(Bug::LateActionDone) if code == Some("COMPENSATED_ALREADY") => {
                *judgement = Judgement::Act { repeated: false };
            }
            Some(Bug::RefusalForgotten)
                if question.kind == Kind::Action
                    && answer.outcome == Outcome::Rejected
                    && code != Some("SUPERSEDED") =>
            {
                *judgement = Judgement::Act { repeated: false };
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Ledger for SimLedger {
    async fn claim(&self, claim: ClaimId, lease: Duration, questions: &[Question]) -> Result<Vec<Judgement>, Trouble> {
        self.away()?;
        if self.ground.has(Bug::TombstoneDropped) {
            return self.without_tombstones(claim, lease, questions).await;
        }
        let asked: Vec<Question> = match self.ground.bug {
            // Every question is about the first round.
            Some(Bug::RoundIgnored) => questions.iter().cloned().map(first_round).collect(),
            _ => questions.to_vec(),
        };
        let mut judgements = self.inner.claim(claim, lease, &asked).await?;
        for (question, judgement) in asked.iter().zip(&mut judgements) {
            self.spoil(question, judgement);
        }
        Ok(judgements)
    }

    async fn record(&self, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble> {
        self.away()?;
        let recorded = self.inner.record(claim, records).await?;
        if matches!(self.ground.bug, Some(Bug::LateActionDone | Bug::RefusalForgotten)) {
            return Ok(records.iter().map(|_| true).collect());
        }
        if self.ground.hit(Fault::LedgerAway) {
            // It was recorded, and its caller does not know.
            return Err(Trouble::Away { part: Part::Database, detail: "it is away".to_owned() });
        }
        Ok(recorded)
    }

    async fn end_leases(&self) -> Result<(), Trouble> {
        self.inner.end_leases().await
    }
}

fn first_round(mut question: Question) -> Question {
    question.key.round = 1;
    question
}
