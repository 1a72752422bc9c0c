//! What the shell has to do once a transition is committed: the whole output alphabet.
//!
//! Timers are not in it: which ones a saga has is read off its state ([`crate::Saga::wake_up`] and
//! [`crate::state::Deadline`]), at recovery as after every commit.

use crate::state::{CommandRef, Failure, Phase};

/// One thing to do after the commit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Send this command to its worker.
    Send(CommandRef),
    /// Publish a domain event on this topic.
    Emit { topic: String, reason: Option<Failure> },
    /// The saga has ended: forget it, answer whoever waits.
    Finish(Phase),
}
