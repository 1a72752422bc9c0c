//! One life of an instance: from its start to its crash. What happens in its name ends with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use saga_model::Micros;
use saga_model::ids::ShardId;

/// See the module.
#[derive(Debug)]
pub struct Life {
    pub name: String,
    /// Its clock, which does not jump.
    pub clock: Arc<AtomicI64>,
    over: AtomicBool,
    /// It waits in the database.
    waits: AtomicBool,
    /// When it asked for the end of a reply partition, and what that end was.
    asked: Mutex<Vec<(ShardId, Micros, i64)>>,
    /// The next reply of each partition that it has not been given.
    read: Mutex<BTreeMap<ShardId, i64>>,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Life {
    pub fn new(name: String, now: Micros) -> Self {
        Self {
            name,
            clock: Arc::new(AtomicI64::new(now.0)),
            over: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            asked: Mutex::default(),
            read: Mutex::default(),
        }
    }

    pub fn now(&self) -> Micros {
        Micros(self.clock.load(Ordering::Relaxed))
    }

    /// It dies where it stands.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether it waits in the database.
    pub fn is_waiting(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// The database goes on.
    pub fn go_on(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }

    /// Waits in the database until it goes on.
    pub async fn wait(&self) {
        self.waits.store(true, Ordering::Relaxed);
        std::future::poll_fn(|_| if self.is_waiting() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Dies, and nothing after that happens.
    pub async fn die<T>(&self) -> T {
        self.end();
        std::future::pending().await
    }

    /// It was given the replies before that one.
    pub fn reads(&self, shard: ShardId, next: i64) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, next);
    }

    pub fn read_to(&self, shard: ShardId) -> i64 {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied().unwrap_or(0)
    }

    pub fn asked(&self, shard: ShardId, at: Micros, end: i64) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((shard, at, end));
    }

    /// Whether it has read a reply partition up to an end that it asked for at `due` or later.
    pub fn has_read(&self, shard: ShardId, due: Micros, up_to: i64) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().any(|(of, at, end)| *of == shard && *at >= due && *end <= up_to)
    }
}
