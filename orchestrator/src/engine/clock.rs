//! The corridor's time: the database's clock, carried on by this process's monotonic one.
//!
//! The database's clock is asked with every heartbeat. A difference is slewed, never jumped: corridor
//! time does not go back, and a step of the wall clock does not make timers fire in a wave.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use saga_model::Micros;

/// At most this share of elapsed time is added or held back while a difference is worked off.
const SLEW: f64 = 0.1;

/// Gives the time to everything in the corridor.
#[derive(Debug)]
pub enum Clock {
    /// The real one.
    Monotonic(Mutex<State>),
    /// One that a simulation sets.
    Manual(Arc<AtomicI64>),
}

/// Where a monotonic clock stands.
#[derive(Debug)]
pub struct State {
    /// Corridor time was `base` at the instant `since`.
    base: Micros,
    since: Instant,
    /// Microseconds of the database's clock ahead of ours, still to be worked off.
    ahead: f64,
}

impl Clock {
    /// Starts at the database's time `now`.
    pub fn starting_at(now: Micros) -> Self {
        Self::Monotonic(Mutex::new(State { base: now, since: monotonic(), ahead: 0.0 }))
    }

    /// The corridor's time; never goes back.
    pub fn now(&self) -> Micros {
        match self {
            Self::Monotonic(state) => lock(state).step(monotonic()),
            Self::Manual(time) => Micros(time.load(Ordering::Relaxed)),
        }
    }

    /// Takes note of the database's time.
    pub fn observe(&self, database: Micros) {
        if let Self::Monotonic(state) = self {
            let mut state = lock(state);
            let now = state.step(monotonic());
            state.ahead = database.since(now) as f64;
        }
    }

    /// How long to wait until `at`, from now.
    pub fn until(&self, at: Micros) -> Duration {
        Duration::from_micros(u64::try_from(at.since(self.now())).unwrap_or(0))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Plain numbers: a panic elsewhere cannot leave them half changed.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn step(&mut self, instant: Instant) -> Micros {
        let elapsed = instant.saturating_duration_since(self.since).as_micros() as f64;
        let slew = self.ahead.clamp(-elapsed * SLEW, elapsed * SLEW);
        let moved = (elapsed + slew) as i64;
        if moved > 0 {
            self.base = self.base.plus(moved);
            self.since = instant;
            self.ahead -= slew;
        }
        self.base
    }
}

/// The one place where the monotonic clock is read.
fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_database_is_slewed() {
        let start = monotonic();
        let mut state = State { base: Micros(1_000_000_000), since: start, ahead: -5_000_000.0 };
        let mut last = state.base;
        for second in 1..=60 {
            let now = state.step(start + Duration::from_secs(second));
            let step = now.since(last);
            assert!((899_999..=1_100_001).contains(&step), "second {second}: {step}");
            last = now;
        }
        assert!((state.ahead).abs() < 1.0);
        assert!((last.since(Micros(1_000_000_000)) - 55_000_000).abs() < 100);
    }
}
