//! What was found to be wrong, and the log of the run.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Shared by all that look.
pub struct Findings {
    began: Instant,
    violations: Mutex<Vec<String>>,
    log: File,
}

impl Findings {
    /// The log is chaos.log in `folder`.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        let log = File::create(folder.join("chaos.log"))?;
        Ok(Self { began: Instant::now(), violations: Mutex::default(), log })
    }

    /// Minutes, seconds and tenths since the program began.
    pub fn clock(&self) -> String {
        let tenths = self.began.elapsed().as_millis() / 100;
        format!("{:02}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
    }

    /// A promise is broken.
    pub fn violation(&self, what: String) {
        eprintln!("{} VIOLATION {what}", self.clock());
        self.note(&format!("VIOLATION {what}"));
        lock(&self.violations).push(what);
    }

    /// Worth a line in the log.
    pub fn note(&self, what: &str) {
        let line = format!("{} {} {what}\n", service::time::now(), self.clock());
        if let Err(error) = (&self.log).write_all(line.as_bytes()) {
            eprintln!("{} cannot be written to the log: {error}", line.trim_end());
        }
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }
}

/// Nothing that is shared here is left half done by a panic.
pub fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
