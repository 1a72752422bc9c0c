//! The ledger in memory: for tests and for the model of what the others do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::micros::Micros;

use super::{ClaimId, Judgement, Ledger, Question, Record, Row, judge};
use crate::spans;
use crate::trouble::Trouble;

/// What gives a ledger its time.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// Rows that end with the process.
pub struct MemoryLedger {
    rows: Mutex<HashMap<(SagaId, Arc<str>), Row>>,
    clock: Clock,
}

impl Default for MemoryLedger {
    /// By the clock on the wall.
    fn default() -> Self {
        Self::with_clock(Arc::new(service::time::now))
    }
}

impl MemoryLedger {
    /// By a clock of one's own: leases end when it says so.
    pub fn with_clock(clock: Clock) -> Self {
        Self { rows: Mutex::default(), clock }
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, claim: ClaimId, lease: Duration, questions: &[Question]) -> Result<Vec<Judgement>, Trouble> {
        let now = (self.clock)().0;
        let lease_until = spans::after(now, lease);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let judge_one = |question: &Question| {
            let at = (question.key.saga, Arc::clone(&question.key.step));
            let judged = judge(rows.get(&at), question, claim.0, now, lease_until);
            if let Some(row) = judged.row {
                rows.insert(at, row);
            }
            judged.judgement
        };
        Ok(questions.iter().map(judge_one).collect())
    }

    async fn record(&self, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let record_one = |record: &Record| {
            let at = (record.saga, Arc::clone(&record.step));
            let ended = rows.get(&at).and_then(|row| row.ended(claim.0, &record.ending, record.trace.clone()));
            let held = ended.is_some();
            if let Some(row) = ended {
                rows.insert(at, row);
            }
            held
        };
        Ok(records.iter().map(record_one).collect())
    }

    async fn end_leases(&self) -> Result<(), Trouble> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.values_mut().for_each(|row| row.lease_until = 0);
        Ok(())
    }
}
