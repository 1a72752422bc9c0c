//! What was measured, for people and (with --json) for programs.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::Args;
use crate::load::Answers;
use crate::system::{Latencies, Sample};

/// Sagas a second that came to their end.
pub fn rate(before: &Sample, after: &Sample) -> f64 {
    (after.finished - before.finished) as f64 / after.instant.duration_since(before.instant).as_secs_f64()
}

pub fn print(args: &Args, before: &Sample, after: &Sample, latencies: &Latencies, answers: &Answers) {
    let seconds = after.instant.duration_since(before.instant).as_secs_f64();
    let finished = after.finished - before.finished;
    let rate = rate(before, after);
    let load = match args.rate {
        Some(rate) => format!("open loop, {rate} orders/s"),
        None => format!("closed loop, {} sagas in flight", args.window),
    };
    println!("{load}, {} % declined, {seconds:.1} s after {} s of warm-up", args.declined, args.warmup);
    println!("  sagas/s to the end   {rate:>10.0}");
    println!(
        "  latency p50 / p99    {:>10.1} / {:.1} ms (accepted to ended, {} sagas)",
        latencies.p50, latencies.p99, latencies.count
    );
    println!("  CPU, us per saga");
    let mut parts = serde_json::Map::new();
    let (mut total, mut busy) = (0.0, 0.0);
    for (name, end) in &after.cpu {
        let used = end - before.cpu.get(name).copied().unwrap_or(0.0);
        let each = used * 1e6 / finished.max(1) as f64;
        println!("    {name:<18} {each:>8.1}");
        parts.insert(name.clone(), json!(each));
        busy += used;
        if name != "load generator" {
            total += each;
        }
    }
    println!("    {:<18} {total:>8.1}  (without the load generator)", "all");
    println!(
        "  cores busy           {:>10.2} of {}",
        busy / seconds,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let refused = answers.shed.load(Ordering::Relaxed) + answers.wrong.load(Ordering::Relaxed);
    if refused > 0 {
        println!("  orders refused       {refused:>10}");
    }
    if args.json {
        println!(
            "{}",
            json!({"sagasPerSecond": rate, "p50Ms": latencies.p50, "p99Ms": latencies.p99, "cpuMicrosPerSaga": parts})
        );
    }
}
