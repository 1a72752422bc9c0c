//! Many seeds, on several threads, with a bar.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::sim::{Recipe, Simulator, Wrong, shrink};

/// Seeds that a thread takes at a time.
const CHUNK: u64 = 64;
/// Failures after which it stops.
const ENOUGH: usize = 20;

/// Runs the seeds and tells of those that fail. Whether none does.
pub fn run(from: u64, seeds: u64, threads: usize) -> bool {
    let (next, bar) = (AtomicU64::new(0), bar(seeds));
    let failed: Mutex<Vec<(u64, Wrong)>> = Mutex::default();
    let began = Instant::now();
    let work = || {
        let simulator = Simulator::new();
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= seeds || failed.lock().unwrap().len() >= ENOUGH {
                return;
            }
            let end = seeds.min(start + CHUNK);
            for seed in from + start..from + end {
                let outcome = simulator.run(&Recipe { seed, ..Recipe::default() });
                if let Some(wrong) = outcome.wrong {
                    failed.lock().unwrap().push((seed, wrong));
                }
            }
            bar.inc(end - start);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    bar.finish_and_clear();
    let took = began.elapsed();
    let ran = next.into_inner().min(seeds);
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, wrong) in &failed {
        println!("seed {seed}: {wrong}");
    }
    if let Some((seed, _)) = failed.first() {
        tell(*seed);
    }
    println!(
        "{ran} schedules, {} failed, {:.1} s, {:.0} a second with {threads} threads",
        failed.len(),
        took.as_secs_f64(),
        ran as f64 / took.as_secs_f64()
    );
    failed.is_empty()
}

/// The shortest story of a failure, and the command that tells it again.
fn tell(seed: u64) {
    let simulator = Simulator::new();
    let (recipe, _) = shrink(&simulator, &Recipe { seed, ..Recipe::default() });
    println!();
    crate::replay(recipe, false);
    println!();
}

fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} schedules, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
