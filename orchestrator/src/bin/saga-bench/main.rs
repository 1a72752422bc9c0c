//! `saga-bench`: the whole system under load, and what it costs.
//!
//! It starts `saga serve` and the three workers (in one process) as its own children on the real Postgres, Kafka
//! and Redis that the environment names, in a database and topics of its own, keeps a window of sagas in flight
//! over HTTP, and prints sagas a second to the end, latencies, and CPU time per saga by part. Afterwards it can offer
//! more than the system carries (`overload`), or run a bare loop for comparison (`straw`).

mod cpu;
mod load;
mod memory;
mod overload;
mod report;
mod straw;
mod system;

use std::time::Duration;

use clap::Parser;
use load::Pace;
use report::Measured;

/// That of the processes it measures, since the straw pipeline is compared with them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Loads a whole system and prints what it does and costs
#[derive(Parser, Debug)]
#[command(
    name = "saga-bench",
    after_help = "Examples:\n  deploy/bench                         services, build, run, clean up\n  saga-bench --seconds 60 --window 4000\n  saga-bench --rate 1000                an open loop: latencies at a given load\n  saga-bench --straw                    then the bare pipeline on the same machine, and the ratio\n  saga-bench --overload 5               then five times what was measured, for ten minutes"
)]
pub struct Args {
    /// Seconds of load before anything is counted: the broker's JVM needs them
    #[arg(long, default_value_t = 20)]
    warmup: u64,
    /// Seconds that count
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Sagas in flight (closed loop)
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// Orders a second (open loop), in place of a window
    #[arg(long)]
    rate: Option<u64>,
    /// Afterwards so many times the measured rate (open loop): what is shed, memory by the minute, and a check of all
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u64).range(2..=100))]
    overload: Option<u64>,
    /// For how many minutes
    #[arg(long, default_value_t = 10, requires = "overload")]
    minutes: u64,
    /// Afterwards a bare loop without any care over the same services, and what part of its rate the system reaches
    #[arg(long, conflicts_with_all = ["rate", "overload"])]
    straw: bool,
    /// HTTP connections
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Share of orders whose payment is declined, in percent
    #[arg(long, default_value_t = 10)]
    declined: u64,
    /// Products in the shop; each order takes two of them
    #[arg(long, default_value_t = 200)]
    products: u64,
    /// Also print each result as a JSON document on a line of its own
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let system = system::System::start().await?;
    eprintln!("warming up for {} s", args.warmup);
    let load = load::Load::start(args, system.address());
    let pace = args.rate.map_or(Pace::Window(args.window), Pace::Rate);
    load.run_for(Duration::from_secs(args.warmup), pace, &system).await?;
    let before = system.sample().await?;
    eprintln!("measuring for {} s", args.seconds);
    load.run_for(Duration::from_secs(args.seconds), pace, &system).await?;
    let after = system.sample().await?;
    let latencies = system.latencies(before.at, after.at).await?;
    let measured = Measured::between(&before, &after);
    report::print(args, &measured, &latencies, load.answers());
    if let Some(times) = args.overload {
        overload::run(&load, &system, times, measured.rate, args.minutes).await?;
    }
    load.stop();
    if !args.straw {
        return system.stop();
    }
    let (pattern, services) = (system.pattern().await, system.services().clone());
    system.stop()?;
    straw::run(args, pattern?, &services, &measured).await
}
