//! More orders than the system can carry: what it sheds, whether its memory stays flat, and whether it keeps its word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;

use crate::load::{Load, Pace};
use crate::system::System;

/// Whoever waits for an answer keeps a connection: as many as can be full of them wait at the orchestrator, and then
/// some that are turned away at once.
const CONNECTIONS: usize = 9_500;
/// Within this time whoever asked has an answer.
const LAST_ANSWERS: Duration = Duration::from_secs(8);
/// How long what was taken in may take to come to its end afterwards.
const PATIENCE: Duration = Duration::from_secs(300);

/// Offers `times` of `rate` (sagas a second that the system carries), prints a line a minute, and judges in the end.
///
/// # Errors
/// If a promise was broken: an order that was answered 200 and is not there or did not end, a status that says neither
/// 200 nor 503, or what `saga audit` finds.
pub async fn run(load: &Load, system: &System, times: u64, rate: f64, minutes: u64) -> anyhow::Result<()> {
    let offered = (rate * times as f64) as u64;
    println!("overload: {offered} orders/s are offered, {times} times as many, for {minutes} min");
    println!("  minute    asked/s   taken/s    shed/s    ended/s   memory, MiB: orchestrator   workers");
    load.open(CONNECTIONS);
    let answers = load.answers();
    let counts = || (answers.taken.load(Ordering::Relaxed), answers.shed.load(Ordering::Relaxed));
    for minute in 1..=minutes {
        let ((taken, shed), ended) = (counts(), system.finished().await?);
        load.run_for(Duration::from_secs(60), Pace::Rate(offered), system).await?;
        let each = |before: u64, after: u64| (after - before) as f64 / 60.0;
        let ((taken_now, shed_now), ended_now) = (counts(), system.finished().await?);
        let (orchestrator, workers) = system.memory();
        println!(
            "  {minute:>6} {:>10.0} {:>9.0} {:>9.0} {:>10.0} {orchestrator:>27.0} {workers:>9.0}",
            each(taken + shed, taken_now + shed_now),
            each(taken, taken_now),
            each(shed, shed_now),
            each(ended, ended_now)
        );
    }
    load.stop();
    tokio::time::sleep(LAST_ANSWERS).await;
    let (stored, ended) = system.settled(PATIENCE).await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (taken, wrong, broken) = (count(&answers.taken), count(&answers.wrong), count(&answers.broken));
    let (orchestrator, workers) = system.memory();
    println!(
        "  afterwards: {taken} were answered 200, {stored} are stored, {ended} of them have ended; {wrong} other answers, \
         {broken} broken connections"
    );
    println!("  memory then, MiB: orchestrator {orchestrator:.0}, workers {workers:.0}");
    // One more may be stored than was answered: its client got a 503 that says that it may be.
    if stored < taken || ended < stored || wrong > 0 || broken > 0 {
        bail!("a promise was broken");
    }
    system.audit()
}
