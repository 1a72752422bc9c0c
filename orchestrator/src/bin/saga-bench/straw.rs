//! The straw pipeline: what these two cores would give if a saga needed no care at all.
//!
//! A bare loop over the same services: three commands and three replies through Kafka, the domain events, and four
//! transitions in Postgres, each a row and its history, of the very sizes that the real system has just stored and
//! sent. No HTTP, no stock, no ledger, no payment, no duplicates, no fence, no timers, no way back. Rates of different
//! machines and days cannot be compared; what a saga costs in proportion to this can.

mod pattern;
mod pipeline;
mod post;
mod store;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use pattern::Pattern;

use self::pipeline::Pipeline;
use crate::{Args, cpu};

/// Runs the straw pipeline as long as the real system was run, and prints how the two compare.
pub async fn run(args: &Args, pattern: Pattern, services: &BTreeMap<String, u32>, real: f64) -> anyhow::Result<()> {
    eprintln!("straw pipeline: warming up for {} s", args.warmup);
    let used = || {
        let mut used: cpu::CpuTimes = services.iter().map(|(name, pid)| (name.clone(), cpu::of_tree(*pid))).collect();
        used.insert("straw".to_owned(), cpu::of_tree(std::process::id()));
        used
    };
    let mut pipeline = Pipeline::start(pattern, args.window).await?;
    pipeline.run_for(Duration::from_secs(args.warmup)).await?;
    eprintln!("straw pipeline: measuring for {} s", args.seconds);
    let (before, ended, start) = (used(), pipeline.ended(), Instant::now());
    pipeline.run_for(Duration::from_secs(args.seconds)).await?;
    let (after, ended, seconds) = (used(), pipeline.ended() - ended, start.elapsed().as_secs_f64());
    pipeline.stop().await?;

    let rate = ended as f64 / seconds;
    println!("straw pipeline (bare loop, messages and rows of the same size), {} sagas in flight", args.window);
    println!("  sagas/s to the end   {rate:>10.0}");
    println!("  CPU, us per saga");
    let mut total = 0.0;
    for (name, end) in &after {
        let each = (end - before.get(name).copied().unwrap_or(0.0)) * 1e6 / ended.max(1) as f64;
        println!("    {name:<18} {each:>8.1}");
        total += each;
    }
    println!("    {:<18} {total:>8.1}", "all");
    println!("  the system's part of it {:>7.2}", real / rate);
    if args.json {
        println!("{}", serde_json::json!({"strawSagasPerSecond": rate, "partOfStraw": real / rate}));
    }
    Ok(())
}
