//! What was measured, for people and (with --json) for programs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::Args;
use crate::cpu::CpuTimes;
use crate::load::Answers;
use crate::system::{Latencies, Sample};

/// The part of the load itself, which is none of the system's.
pub const LOAD: &str = "load generator";

/// What a system did in the time that counts, and what a saga has cost.
pub struct Measured {
    /// Sagas a second that came to their end.
    pub rate: f64,
    /// CPU time of each part, in microseconds per saga.
    pub parts: Vec<(String, f64)>,
    /// The same of all parts but the load generator.
    pub all: f64,
    /// Cores that all parts kept busy.
    pub busy: f64,
}

impl Measured {
    pub fn new(before: &CpuTimes, after: &CpuTimes, ended: u64, time: Duration) -> Self {
        let used = |(name, end): (&String, &f64)| (name.clone(), end - before.get(name).copied().unwrap_or(0.0));
        let used: Vec<(String, f64)> = after.iter().map(used).collect();
        let parts: Vec<(String, f64)> =
            used.iter().map(|(name, seconds)| (name.clone(), seconds * 1e6 / ended.max(1) as f64)).collect();
        Self {
            rate: ended as f64 / time.as_secs_f64(),
            all: parts.iter().filter(|(name, _)| name != LOAD).map(|(_, each)| each).sum(),
            busy: used.iter().map(|(_, seconds)| seconds).sum::<f64>() / time.as_secs_f64(),
            parts,
        }
    }

    pub fn between(before: &Sample, after: &Sample) -> Self {
        let ended = after.finished - before.finished;
        Self::new(&before.cpu, &after.cpu, ended, after.instant.duration_since(before.instant))
    }
}

/// How many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

pub fn print(args: &Args, measured: &Measured, latencies: &Latencies, answers: &Answers) {
    let load = match args.rate {
        Some(rate) => format!("open loop, {rate} orders/s"),
        None => format!("closed loop, {} sagas in flight", args.window),
    };
    println!("{load}, {} % declined, {} s after {} s of warm-up", args.declined, args.seconds, args.warmup);
    println!("  sagas/s to the end   {:>10.0}", measured.rate);
    println!(
        "  latency p50 / p99    {:>10.1} / {:.1} ms (accepted to ended, {} sagas)",
        latencies.p50, latencies.p99, latencies.count
    );
    println!("  CPU, us per saga");
    for (name, each) in &measured.parts {
        println!("    {name:<18} {each:>8.1}");
    }
    println!("    {:<18} {:>8.1}  (without the load generator)", "all", measured.all);
    println!("  cores busy           {:>10.2} of {}", measured.busy, cores());
    let refused = answers.shed.load(Ordering::Relaxed) + answers.wrong.load(Ordering::Relaxed);
    if refused > 0 {
        println!("  orders refused       {refused:>10}");
    }
    if args.json {
        let parts: serde_json::Map<_, _> =
            measured.parts.iter().map(|(name, each)| (name.clone(), json!(each))).collect();
        println!(
            "{}",
            json!({"sagasPerSecond": measured.rate, "p50Ms": latencies.p50, "p99Ms": latencies.p99,
                "cpuMicrosPerSaga": parts})
        );
    }
}
