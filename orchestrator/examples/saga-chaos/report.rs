//! What a run comes to, for people; and how far it is meanwhile.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use crate::auditor::Verdict;
use crate::findings::{Findings, lock};
use crate::nemesis::{Done, Nemesis, Outcome};
use crate::shop::Shop;
use crate::topics::Collector;

/// As many violations are printed again at the end.
const SHOWN: usize = 20;

/// A line that changes on a terminal, a line now and then elsewhere. Runs until it is dropped.
pub async fn progress(nemesis: &Nemesis) {
    let terminal = std::io::stderr().is_terminal();
    let mut pace = tokio::time::interval(Duration::from_secs(if terminal { 1 } else { 15 }));
    loop {
        pace.tick().await;
        let on: Vec<String> = lock(&nemesis.on).iter().map(ToString::to_string).collect();
        let (sent, taken) = (nemesis.shop.sent(), nemesis.shop.taken().len());
        let violations = nemesis.findings.violations().len();
        let line = format!(
            "{} {sent} orders sent, {taken} taken, {violations} violations; now: {}",
            nemesis.findings.clock(),
            if on.is_empty() { "nothing".to_owned() } else { on.join(", ") }
        );
        if terminal { eprint!("\r\x1b[2K{line}") } else { eprintln!("{line}") }
    }
}

/// The faults by kind, each with how long it took until an order went through again.
fn faults(done: &[Done], findings: &Findings) {
    let mut by_kind: BTreeMap<String, Vec<&Done>> = BTreeMap::new();
    for one in done.iter().filter(|one| !matches!(one.outcome, Outcome::Never)) {
        by_kind.entry(one.planned.kind.name()).or_default().push(one);
    }
    let count: usize = by_kind.values().map(Vec::len).sum();
    println!("faults {count}; after each, until an order placed then was completed (other faults may have been on):");
    for (kind, all) in by_kind {
        let mut times = Vec::new();
        for one in &all {
            match &one.outcome {
                Outcome::Healed(Some(time)) => times.push(format!("{:.1}", time.as_secs_f64())),
                Outcome::Healed(None) => {
                    findings.violation(format!("after {} no order ever went through", one.planned.fault));
                    times.push("never".to_owned());
                }
                Outcome::Failed(why) => times.push(format!("not done ({why})")),
                Outcome::Never => {}
            }
        }
        println!("  {kind:<16} {:>2}   {} s", all.len(), times.join(", "));
    }
}

/// What was done from outside.
pub struct Tally<'a> {
    pub shop: &'a Shop,
    pub collector: &'a Collector,
    /// Sagas that readers looked at.
    pub reads: u64,
}

/// Prints the report.
pub fn print(done: &[Done], tally: &Tally<'_>, verdict: &Verdict, findings: &Findings) {
    let Tally { shop, collector, reads } = tally;
    println!("orders sent {}, in {} requests; acknowledged {}", shop.sent(), shop.tries(), shop.taken().len());
    let ended: Vec<String> = verdict.ended.iter().map(|(end, count)| format!("{end:?} {count}")).collect();
    println!("ended as they must: {}", ended.join(", "));
    println!("lost {}, doubled {}", verdict.lost, verdict.doubled);
    println!(
        "read meanwhile: {reads} sagas; {} events, {} repeats of them; {} orders lived while topics were deleted",
        verdict.events,
        collector.repeats(),
        verdict.excused
    );
    faults(done, findings);
    let violations = findings.violations();
    println!("violations {}", violations.len());
    for what in violations.iter().take(SHOWN) {
        println!("  {what}");
    }
    if violations.len() > SHOWN {
        println!("  … all of them are in chaos.log");
    }
}
