//! The replies that are under way.
//!
//! A channel that loses, repeats and reorders is a set: what was written once may arrive at any moment, any number of
//! times, or never. Commands need not even be kept: those that were sent are read off the saga. And of replies only
//! those to the question that is open are kept, for no other changes anything ([`super::live`]).

use saga_model::state::Outcome;

use super::worker::Answer;

/// Attempts of one round that a channel has room for.
pub const ATTEMPTS: usize = 14;

/// A set of replies to one question. An answer that counts for any attempt (SUCCEEDED, REJECTED) is kept once for all
/// of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Channel(u32);

impl Channel {
    pub fn put(&mut self, answer: Answer) {
        self.0 |= 1 << slot(answer);
    }

    pub fn has(self, answer: Answer) -> bool {
        self.0 & (1 << slot(answer)) != 0
    }

    /// Those that are in `other` too.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

const fn slot_of(outcome: Outcome, undone: bool, attempt: usize) -> usize {
    match outcome {
        Outcome::Succeeded => undone as usize,
        Outcome::Rejected => 2,
        Outcome::Retryable => 1 + 2 * attempt,
        Outcome::Unknown => 2 + 2 * attempt,
    }
}

const _: () = assert!(slot_of(Outcome::Unknown, false, ATTEMPTS) < 32);

fn slot(answer: Answer) -> usize {
    slot_of(answer.outcome, answer.undone, usize::from(answer.to.attempt))
}
