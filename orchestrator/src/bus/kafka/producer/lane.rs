//! The messages of one topic on their way, and what happens when the broker refuses some for good.
//!
//! The client library repeats what a broker that is away, restarts or changes leaders makes it repeat, and it keeps
//! the order. What is left are final refusals: the topic is gone, nobody may write to it, a message is too large.
//! We promise to send until acknowledged, so a lane then holds back what comes after, waits until nothing
//! of it is in the library, and tries again from the first refused message on, one message first:
//!
//! ```text
//!            refused                      nothing under way, backoff over
//!   Open ----------------> Broken ------------------------------------------.
//!    ^                      ^  refused                                      |
//!    |                      '------------------------------------ Probing <-'
//!    '------------------------------------ acknowledged ------------'
//! ```
//!
//! Other topics go on meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::message::Message;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// All messages of the topic would be refused.
    Topic,
    /// This message, or the batch it was in.
    Message,
    /// Another one's: it came back with a client that had to be given up.
    Nobody,
}

/// The messages of one topic that are not in the library, and whether it may have them.
#[derive(Debug)]
pub(super) struct Lane {
    state: State,
    /// In the order in which they are sent.
    held: BTreeMap<u64, Message>,
    /// Up to here they are sent one at a time: one of them was refused for itself, in a batch with others.
    one_by_one_until: u64,
    /// Refused even alone, and tried again now and then: somebody may raise the limit.
    parked: Vec<Parked>,
    /// Refusals of the topic in a row.
    failures: u32,
    park_for: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Broken { retry_at: Instant },
    Probing { out: bool },
}

#[derive(Debug)]
struct Parked {
    retry_at: Instant,
    seq: u64,
    message: Message,
}

/// What a refusal led to, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Tried again with those behind it.
    Held,
    /// Put aside.
    Parked,
}

impl Lane {
    /// A lane that puts a message which is refused even alone aside for `park_for`.
    pub(super) fn new(park_for: Duration) -> Self {
        Self {
            state: State::Open,
            held: BTreeMap::new(),
            one_by_one_until: 0,
            parked: Vec::new(),
            failures: 0,
            park_for,
        }
    }

    /// Takes a new message in; gives it back if it may leave at once.
    pub(super) fn push(&mut self, seq: u64, message: Message) -> Option<Message> {
        if self.state == State::Open && self.held.is_empty() {
            return Some(message);
        }
        self.held.insert(seq, message);
        None
    }

    /// Takes in a message that may not leave because there is no client.
    pub(super) fn hold(&mut self, seq: u64, message: Message) {
        self.held.insert(seq, message);
    }

    /// The next message that may leave.
    pub(super) fn next(&mut self) -> Option<(u64, Message)> {
        match self.state {
            State::Open => self.held.pop_first(),
            State::Broken { .. } | State::Probing { out: true } => None,
            State::Probing { out: false } => {
                let first = self.held.pop_first();
                self.state = if first.is_some() { State::Probing { out: true } } else { State::Open };
                first
            }
        }
    }

    /// A message came back.
    pub(super) fn refused(&mut self, seq: u64, message: Message, blame: Blame, now: Instant) -> Refusal {
        if matches!(self.state, State::Probing { .. }) && blame == Blame::Message {
            self.parked.push(Parked { retry_at: now + self.park_for, seq, message });
            self.state = State::Probing { out: false };
            return Refusal::Parked;
        }
        self.held.insert(seq, message);
        if blame == Blame::Message {
            self.one_by_one_until = self.one_by_one_until.max(seq);
        }
        if !matches!(self.state, State::Broken { .. }) {
            let wait = match blame {
                Blame::Topic => {
                    self.failures = self.failures.saturating_add(1);
                    backoff(self.failures)
                }
                Blame::Message | Blame::Nobody => Duration::ZERO,
            };
            self.state = State::Broken { retry_at: now + wait };
        }
        Refusal::Held
    }

    /// A message that was sent alone has arrived.
    pub(super) fn probe_arrived(&mut self) {
        if self.state == (State::Probing { out: true }) {
            self.failures = 0;
            let alone = self.held.first_key_value().is_some_and(|(seq, _)| *seq <= self.one_by_one_until);
            self.state = if alone { State::Probing { out: false } } else { State::Open };
        }
    }

    /// Whether the topic is tried with one message at a time.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// Something is known that makes a new try sensible now.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let State::Broken { retry_at } = &mut self.state {
            *retry_at = now.min(*retry_at);
        }
    }

    /// When the lane wants to be looked at, if it wants to.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Open => self.parked.iter().map(|parked| parked.retry_at).min(),
            State::Broken { retry_at } => Some(retry_at),
            State::Probing { .. } => None,
        }
    }

    /// Goes on if it is time. `empty` says that nothing of the lane is in the library or on its way back from there.
    pub(super) fn look(&mut self, now: Instant, empty: bool) {
        if self.state == State::Open {
            for parked in self.parked.extract_if(.., |parked| parked.retry_at <= now) {
                self.one_by_one_until = self.one_by_one_until.max(parked.seq);
                self.held.insert(parked.seq, parked.message);
                self.state = State::Broken { retry_at: now };
            }
        }
        if let State::Broken { retry_at } = self.state
            && retry_at <= now
            && empty
        {
            self.state = State::Probing { out: false };
        }
    }
}

/// 100 ms, doubled with each failure, at most 30 s.
pub(super) fn backoff(failures: u32) -> Duration {
    const CAP: Duration = Duration::from_secs(30);
    Duration::from_millis(100).saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP)
}

#[cfg(test)]
mod tests;
