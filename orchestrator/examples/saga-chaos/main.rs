//! `saga-chaos`: a whole system of real processes on real services, broken on purpose while orders come in, and judged
//! from outside. What it does and how to read it: `docs/chaos.md`. Run it by `deploy/chaos`.

mod auditor;
mod fault;
mod findings;
mod judge;
mod nemesis;
mod order;
mod plan;
mod proxy;
mod reader;
mod report;
mod run;
mod services;
mod shop;
mod supervise;
#[path = "../../tests/support/mod.rs"]
mod support;
mod system;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use fault::Outage;
use plan::{Kind, Planned};

/// Breaks a whole system on purpose while orders come in, and judges it from outside
#[derive(Parser, Debug)]
#[command(name = "saga-chaos")]
struct Args {
    /// Which faults come when, and which orders: the same seed, the same plan [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// How long orders come in
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Orders a second, whatever becomes of them
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Which kinds of faults, with commas [default: all]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Orchestrators
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=4))]
    instances: u8,
    /// One fault in place of a plan: this worker or service is away from second 5 on ...
    #[arg(long)]
    outage: Option<Outage>,
    /// ... for so many seconds
    #[arg(long, default_value_t = 300)]
    outage_seconds: u64,
    /// Seconds that everything may take to come to its end once all is healed
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Print the plan and end
    #[arg(long)]
    plan: bool,
}

impl Args {
    fn length(&self) -> Duration {
        match self.outage {
            Some(_) => Duration::from_secs(self.outage_seconds + 10),
            None => Duration::from_secs_f64(self.minutes * 60.0),
        }
    }

    fn plan(&self, seed: u64) -> Vec<Planned> {
        if let Some(outage) = self.outage {
            let (at, lasts) = (Duration::from_secs(5), Duration::from_secs(self.outage_seconds));
            let (kind, fault) = outage.fault();
            return vec![Planned { at, lasts, kind, fault }];
        }
        plan::plan(seed, self.length(), &self.kinds(), &fault::parts(self.instances.into()))
    }

    /// Those that were asked for, or all that can be had here.
    fn kinds(&self) -> Vec<Kind> {
        let all = || Kind::value_variants().iter().copied();
        match &self.faults[..] {
            [] => all().filter(|kind| *kind != Kind::FillDisk || services::disk().is_some()).collect(),
            some => some.to_vec(),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    if args.faults.contains(&Kind::FillDisk) && services::disk().is_none() {
        eprintln!("saga-chaos: fill-disk needs a disk for Postgres alone: run deploy/chaos as root, who may mount one");
        return ExitCode::FAILURE;
    }
    let plan = args.plan(seed);
    if args.plan {
        for Planned { at, lasts, fault, .. } in plan {
            println!("{:>7.1} s  for {:>5.1} s  {fault}", at.as_secs_f64(), lasts.as_secs_f64());
        }
        return ExitCode::SUCCESS;
    }
    let chaos = async {
        tokio::select! {
            done = run::run(&args, seed, plan) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.context("a runtime").and_then(|runtime| runtime.block_on(chaos)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("saga-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}
