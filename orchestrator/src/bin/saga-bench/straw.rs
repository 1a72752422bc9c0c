//! The straw pipeline: what these cores would give if a saga needed no care at all.
//!
//! A bare loop over the same services: three commands and three replies through Kafka, the domain events, and four
//! transitions in Postgres, each a row and its history, with the messages and about the rows of an order that the real
//! system has just carried. No HTTP, no stock, no ledger, no payment, no fence, no timers, no way back, fewer columns
//! and indexes. Rates of different machines and days cannot be compared; what part of the straw's a system reaches can.

mod pattern;
mod pipeline;
mod post;
mod store;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
pub use pattern::Pattern;

use self::pipeline::Pipeline;
use crate::report::{Measured, cores};
use crate::{Args, cpu};

/// Runs the straw pipeline as long as the real system was run, and prints how the two compare.
pub async fn run(
    args: &Args,
    pattern: Pattern,
    services: &BTreeMap<String, u32>,
    real: &Measured,
) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start(pattern, args.window).await?;
    let measured = measure(args, &mut pipeline, services).await;
    if let Ok(straw) = &measured {
        print(args, straw, real);
    }
    pipeline.stop().await?;
    measured.map(drop)
}

async fn measure(args: &Args, pipeline: &mut Pipeline, services: &BTreeMap<String, u32>) -> anyhow::Result<Measured> {
    let used = || {
        let mut used: cpu::CpuTimes = services.iter().map(|(name, pid)| (name.clone(), cpu::of_tree(*pid))).collect();
        used.insert("straw".to_owned(), cpu::of_tree(std::process::id()));
        used
    };
    eprintln!("straw pipeline: warming up for {} s", args.warmup);
    pipeline.run_for(Duration::from_secs(args.warmup)).await?;
    eprintln!("straw pipeline: measuring for {} s", args.seconds);
    let (before, ended, start) = (used(), pipeline.ended(), Instant::now());
    pipeline.run_for(Duration::from_secs(args.seconds)).await?;
    let (after, ended) = (used(), pipeline.ended() - ended);
    ensure!(ended > 0, "no saga of the straw pipeline has ended");
    Ok(Measured::new(&before, &after, ended, start.elapsed()))
}

fn print(args: &Args, straw: &Measured, real: &Measured) {
    println!("straw pipeline, {} sagas in flight", args.window);
    println!("  sagas/s to the end   {:>10.0}", straw.rate);
    println!("  CPU, us per saga");
    for (name, each) in &straw.parts {
        println!("    {name:<18} {each:>8.1}");
    }
    println!("    {:<18} {:>8.1}", "all", straw.all);
    println!("  cores busy           {:>10.2} of {}", straw.busy, cores());
    let (reached, spent) = (100.0 * real.rate / straw.rate, real.all / straw.all);
    println!("  the system reaches {reached:.0} % of the straw's rate; a saga costs it {spent:.1} times the CPU");
    if args.json {
        let rates = serde_json::json!({"strawSagasPerSecond": straw.rate, "percentOfStraw": reached});
        println!("{rates}");
    }
}
