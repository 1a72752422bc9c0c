//! Since when commands wait for a worker, as `waitingFor` tells it.
//!
//! It is read off the live sagas, so that it does not matter where a command waits: for the broker, which may be away, in
//! its topic, or in a topic of which nobody can say how far its workers have come. A command is untaken until a look has
//! seen that it was taken.

use std::collections::BTreeMap;

use saga_model::Micros;
use saga_model::ids::ShardId;
use saga_model::state::WakeUp;

use super::core::{Core, Live};

/// A command that waits for a worker no longer than this (in microseconds) is on its way.
pub const ORDINARY_WAIT: i64 = 1_000_000;

/// So often at most (in microseconds) all live sagas are gone through.
const INTERVAL: i64 = 500_000;

impl Core {
    /// Notes since when commands of each shard wait for a worker, by topic, unless it is the ordinary moment.
    pub fn note_untaken(&mut self, now: Micros) {
        if now < self.untaken_due {
            return;
        }
        self.untaken_due = now.plus(INTERVAL);
        let mut oldest: BTreeMap<(ShardId, &str), Micros> = BTreeMap::new();
        // Most of the time there is none, and then nothing is allocated.
        let live = if self.moving() > 0 { Some(self.sagas.values()) } else { None };
        for live in live.into_iter().flatten() {
            if let Some((topic, sent_at)) = live.untaken().filter(|(_, sent_at)| now.since(*sent_at) >= ORDINARY_WAIT) {
                let since = oldest.entry((live.shard, topic)).or_insert(sent_at);
                *since = sent_at.min(*since);
            }
        }
        for owned in self.shards.values_mut() {
            owned.untaken.clear();
        }
        for ((shard, topic), since) in oldest {
            if let Some(owned) = self.shards.get_mut(&shard) {
                owned.untaken.insert(topic.to_owned(), since);
            }
        }
    }

    /// A shard was taken: which of its commands are with a worker is not known before the first look.
    pub fn untaken_unknown(&mut self, now: Micros) {
        self.untaken_due = now.plus(ORDINARY_WAIT);
    }
}

impl Live {
    /// The topic of its command in flight that no worker is known to have taken, and when it was sent.
    fn untaken(&self) -> Option<(&str, Micros)> {
        if !self.moves() {
            return None;
        }
        match self.record.saga.wake_up(&self.definition)? {
            WakeUp::Reply { command, sent_at } if self.taken.is_none_or(|(taken, _)| taken != command) => {
                Some((&self.definition.step(command.step).topic, sent_at))
            }
            WakeUp::Reply { .. } | WakeUp::Backoff { .. } => None,
        }
    }
}
