//! How far a search is: a line that changes on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::search::explore::Progress;

/// What to keep an eye on.
pub struct Watched {
    /// The most memory that the process may take, in bytes.
    pub memory: usize,
}

/// Runs `search` and tells how far it is; ends it when it takes too much memory.
pub fn watch<R>(watched: &Watched, progress: &Progress, search: impl FnOnce() -> R) -> R {
    let terminal = std::io::stderr().is_terminal();
    let every = Duration::from_millis(if terminal { 250 } else { 5_000 });
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
        bar.set_style(style);
    }
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let began = Instant::now();
            // The other end is dropped when the search has ended.
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let line = line(progress, began.elapsed());
                if terminal {
                    bar.set_message(line);
                    bar.tick();
                } else {
                    eprintln!("  {line}");
                }
                if memory() > watched.memory {
                    progress.stop.store(true, Relaxed);
                }
            }
            bar.finish_and_clear();
        });
        let found = search();
        drop(done);
        found
    })
}

fn line(progress: &Progress, took: Duration) -> String {
    let states = progress.states.load(Relaxed);
    format!(
        "{} states, {} states/s, {} steps away, {} to look at, {} MiB",
        grouped(states),
        grouped((states as f64 / took.as_secs_f64().max(0.001)) as u64),
        progress.depth.load(Relaxed),
        grouped(progress.frontier.load(Relaxed)),
        memory() >> 20
    )
}

/// The memory that the process has now, in bytes; 0 where the system does not say.
pub fn memory() -> usize {
    memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem)
}

/// A number with commas, for people.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
