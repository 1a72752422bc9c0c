//! What did I answer? The memory of a worker, one row for each (saga, step).
//!
//! ```text
//!   none --ACTION--> RUNNING(claim, lease) --recorded--> SUCCEEDED | REJECTED --ACTION of a higher round--> RUNNING
//!    |                  | lease over: the next ACTION repeats it under its key
//!    | COMPENSATE       | COMPENSATE, lease over
//!    |                  v
//!    |               UNDOING(claim, lease) --recorded--> TOMBSTONE(undone: true | false)
//!    '-------------------------------------------------> TOMBSTONE(undone: false)
//! ```
//!
//! A COMPENSATE turns every state into UNDOING first (none into TOMBSTONE at once) and from then on every ACTION is
//! refused. A refusal of what may have been begun before is remembered before it is made sure of (RUNNING, with the
//! reason). RETRYABLE and UNKNOWN are not remembered: the row stays RUNNING (or UNDOING) and its lease ends, because
//! an effect of an earlier attempt may stand and has to be settled before it is undone.
//!
//! [`judge`](judge()) is the one place where this is decided; a ledger only keeps rows.

mod judge;
pub mod memory;
pub mod sql;

use std::time::Duration;

use async_trait::async_trait;
use saga_model::SagaId;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind, Outcome};

use crate::participant::EffectKey;
use crate::trouble::Trouble;
pub use judge::{Judged, Row, Status, judge, undone};

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of the command: for a compensation, the round in which it is asked for.
    pub key: EffectKey,
    pub kind: Kind,
    /// The attempt of the command, from 1.
    pub attempt: u32,
}

impl Question {
    /// Whether nobody can have asked before, unless the command came twice.
    fn is_first(&self) -> bool {
        self.kind == Kind::Action && self.key.round == 1 && self.attempt == 1
    }
}

/// Who works on a row: a number that no other batch of any worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimId(pub i64);

impl ClaimId {
    /// A new one, at random.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().as_u64_pair().0.cast_signed())
    }
}

impl Default for ClaimId {
    fn default() -> Self {
        Self::new()
    }
}

/// What has to be done about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing: this is the answer.
    Answer(Answer),
    /// The action. `repeated` unless nobody ever asked about this step before.
    Act { repeated: bool },
    /// The refusal that an earlier attempt came to, once it is certain that no attempt has an effect.
    Refuse { why: Failure },
    /// Find out what became of the action of an earlier round, record it, and ask again.
    Settle { round: u32 },
    /// The compensation, after settling the action of round `settle` if there is one. `trace` is the `traceparent` of
    /// the span that did the action, if it left one.
    Undo { settle: Option<u32>, trace: Option<String> },
    /// Wait: somebody else works on it.
    Busy,
}

/// An answer, as a reply carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub output: Option<RawJson>,
    pub error: Option<Failure>,
}

/// How work that was claimed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The action of the row's round succeeded.
    Succeeded(RawJson),
    /// It was refused for good.
    Rejected(Failure),
    /// It will be refused once an earlier attempt is settled. The claim goes on; whoever comes after it refuses for the
    /// same reason, since what was settled tells nobody why any more.
    Refusing(Failure),
    /// No effect of any round stands.
    Undone { was_there: bool },
    /// The compensation was refused for good.
    UndoRefused(Failure),
    /// Not at all: somebody has to try again.
    Open,
}

/// What to record about a row.
#[derive(Debug, Clone)]
pub struct Record {
    pub saga: SagaId,
    pub step: std::sync::Arc<str>,
    pub ending: Ending,
    /// W3C `traceparent` of the span that did it.
    pub trace: Option<String>,
}

/// A ledger of one worker or of several: a step belongs to one worker.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Decides a batch of questions, each about another (saga, step), and claims what has to be done for `lease`.
    /// Asked again with the same `claim`, it gives the same again.
    ///
    /// # Errors
    /// [`Trouble`]; then some, all or none may be claimed.
    async fn claim(&self, claim: ClaimId, lease: Duration, questions: &[Question]) -> Result<Vec<Judgement>, Trouble>;

    /// Records how claimed work ended. `false` where the claim was lost to somebody else, or nothing was claimed:
    /// that question has to be asked again. Of what was recorded so before, by the same claim, it may say either.
    ///
    /// # Errors
    /// [`Trouble`]; then some, all or none may be recorded.
    async fn record(&self, claim: ClaimId, records: &[Record]) -> Result<Vec<bool>, Trouble>;

    /// Ends all leases: for a process that knows that no other one is alive.
    ///
    /// # Errors
    /// [`Trouble`].
    async fn end_leases(&self) -> Result<(), Trouble>;
}
