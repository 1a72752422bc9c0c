//! What operators look through, and what becomes of dead letters.

use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::{AdminRequest, DeadLetterStatus};

/// Which audit records, from where on.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub saga: Option<SagaId>,
    /// As it is recorded: `key:<name>`.
    pub actor: Option<String>,
    pub action: Option<String>,
    /// Only those with an id below this one.
    pub before: Option<Uuid>,
    pub limit: u64,
}

/// A dead letter that somebody is at: until then, nobody else may be. Nobody has to give it back: it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub letter: Uuid,
    pub until: Micros,
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was done: others may try.
    GivenBack,
    /// With the audit record, which is stored if and only if the letter becomes so.
    Replayed(AdminRequest),
    Discarded(AdminRequest),
}

impl Verdict {
    /// What the letter becomes, and the record of it; none if it stays as it is.
    pub fn settles(&self) -> Option<(DeadLetterStatus, &AdminRequest)> {
        match self {
            Self::GivenBack => None,
            Self::Replayed(record) => Some((DeadLetterStatus::Replayed, record)),
            Self::Discarded(record) => Some((DeadLetterStatus::Discarded, record)),
        }
    }
}
