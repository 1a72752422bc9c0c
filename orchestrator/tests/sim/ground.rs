//! What everything in one simulated world stands on: the clocks, chance, the story, the judge, and the bug that is
//! switched on, if one is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator::engine::Ids;
use saga_model::Micros;
use uuid::Uuid;

use super::bugs::Bug;
use super::fault::{Chance, Fault};
use super::net::Net;
use super::oracle::Oracle;

/// Shared by all parts of one world.
pub struct Ground {
    /// The database's clock, in microseconds, always of whole milliseconds.
    pub time: Arc<AtomicI64>,
    pub bug: Option<Bug>,
    chance: Mutex<Chance>,
    net: Mutex<Net>,
    oracle: Mutex<Oracle>,
    /// Kept only if somebody wants to read it.
    story: Option<Mutex<Vec<String>>>,
}

/// When every world begins.
pub const BEGINNING: i64 = 1_800_000_000_000_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ground {
    pub fn new(chance: Chance, net: Net, oracle: Oracle, bug: Option<Bug>, told: bool) -> Self {
        Self {
            time: Arc::new(AtomicI64::new(BEGINNING)),
            bug,
            chance: Mutex::new(chance),
            net: Mutex::new(net),
            oracle: Mutex::new(oracle),
            story: told.then(|| Mutex::new(Vec::new())),
        }
    }

    pub fn now(&self) -> Micros {
        Micros(self.time.load(Ordering::Relaxed))
    }

    pub fn chance(&self) -> MutexGuard<'_, Chance> {
        lock(&self.chance)
    }

    pub fn net(&self) -> MutexGuard<'_, Net> {
        lock(&self.net)
    }

    pub fn oracle(&self) -> MutexGuard<'_, Oracle> {
        lock(&self.oracle)
    }

    /// Whether a fault of that kind happens here and now; the story tells of it.
    pub fn hit(&self, fault: Fault) -> bool {
        let hit = self.chance().hit(fault);
        if hit {
            self.tell(|| format!("** {}", fault.words()));
        }
        hit
    }

    /// Whether that bug is the one that is switched on.
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            let line = format!("{:>9.3} {}", (self.now().0 - BEGINNING) as f64 / 1e6, line());
            lock(story).push(line);
        }
    }

    /// The story so far.
    pub fn story(&self) -> Vec<String> {
        self.story.as_ref().map(|story| lock(story).clone()).unwrap_or_default()
    }
}

/// Ids by chance of the seed and the world's time.
pub struct SeededIds(pub Arc<Ground>);

impl Ids for SeededIds {
    fn uuid(&self, at: Micros) -> Uuid {
        let millis = (at.0 / 1_000).unsigned_abs();
        let random = self.0.chance().rng.u128(..);
        Uuid::from_u128(u128::from(millis) << 80 | 7 << 76 | (random & 0xFFF) << 64 | 2 << 62 | random >> 66)
    }

    fn secret(&self) -> u128 {
        self.0.chance().rng.u128(..)
    }
}

/// The last digits of an id, for the story.
pub fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    text[text.len().saturating_sub(4)..].to_owned()
}
