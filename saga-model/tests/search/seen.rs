//! The set of fingerprints, shared by threads.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use super::explore::lock;

/// Parts with a lock each: when one grows, the others do not wait, and only that one is there twice.
const PARTS: usize = 256;

pub struct Seen {
    parts: Vec<Mutex<HashSet<u128, BuildHasherDefault<Plain>>>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl Seen {
    /// Whether `fingerprint` is new.
    pub fn insert(&self, fingerprint: u128) -> bool {
        let part = fingerprint as usize % PARTS;
        lock(&self.parts[part]).insert(fingerprint)
    }
}

/// A fingerprint is a hash already: its upper half is taken as it is.
#[derive(Default)]
pub struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = (fingerprint >> 64) as u64;
    }
}
