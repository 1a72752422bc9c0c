//! What operators look through, and what becomes of dead letters.

use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::{AdminRequest, DeadLetter, DeadLetterStatus};

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

/// A part of the list of dead letters: as many as were wanted, or fewer where they are large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterPage {
    pub items: Vec<DeadLetter>,
    /// How many match, those before the part too.
    pub total: u64,
    /// Whether older ones match.
    pub more: bool,
}

impl LetterPage {
    /// What the letters of a part may take together, in bytes, unless one alone takes more: a message that was packed
    /// well can be very large.
    pub const BYTES: u64 = 8 * 1024 * 1024;

    /// How many letters of these sizes make a part of at most `limit`.
    pub fn fit(sizes: impl IntoIterator<Item = u64>, limit: u64) -> usize {
        let mut bytes: u64 = 0;
        let fits = |(index, size): &(u64, u64)| {
            bytes = bytes.saturating_add(*size);
            *index < limit && (*index == 0 || bytes <= Self::BYTES)
        };
        (0..).zip(sizes).take_while(fits).count()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_at_least_one_letter_and_no_more_than_fit() {
        let half = LetterPage::BYTES / 2;
        for (sizes, limit, fit) in [
            (&[][..], 5, 0),
            (&[1, 1, 1], 2, 2),
            (&[1, 1, 1], 3, 3),
            (&[half, half, 1], 5, 2),
            (&[3 * half, 1], 5, 1),
            (&[1, 3 * half, 1], 5, 1),
            (&[u64::MAX, u64::MAX], 5, 1),
        ] {
            assert_eq!(LetterPage::fit(sizes.iter().copied(), limit), fit, "{sizes:?}");
        }
    }
}
