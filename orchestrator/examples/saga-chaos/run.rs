//! A run, from the first process to the report.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use futures::future::join_all;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Args;
use crate::auditor::Auditor;
use crate::fault::Worker;
use crate::findings::Findings;
use crate::nemesis::Nemesis;
use crate::order;
use crate::plan::Planned;
use crate::reader::Reader;
use crate::report::{self, Tally};
use crate::shop::Shop;
use crate::system::System;
use crate::topics::Collector;

/// Whether no promise was broken.
pub async fn run(args: &Args, seed: u64, plan: Vec<Planned>) -> anyhow::Result<bool> {
    let folder = std::env::var_os("SAGA_LOCAL_DIR").map(PathBuf::from).context("run it by deploy/chaos")?;
    println!(
        "seed {seed}, {:.1} minutes, {} orders/s, {} faults planned",
        args.length().as_secs_f64() / 60.0,
        args.rate,
        plan.len()
    );
    let findings = Arc::new(Findings::new(&folder)?);
    let system = Arc::new(System::start(&folder, args.instances.into(), findings.clone()).await?);
    stock(&system).await?;
    let collector = Collector::start(system.services.url("KAFKA_BROKERS"), findings.clone());
    let shop = Shop::new(system.doors(), system.operators(), findings.clone());
    let (stop, reads) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let nemesis = Nemesis {
        system: system.clone(),
        shop: shop.clone(),
        findings: findings.clone(),
        collector: collector.clone(),
        on: Mutex::default(),
        stop: stop.clone(),
    };
    let patience = Duration::from_secs(args.patience);
    let auditor = Auditor {
        system: system.clone(),
        shop: shop.clone(),
        collector: collector.clone(),
        findings: findings.clone(),
        patience,
    };
    let orders = async {
        let over = CancellationToken::new();
        let (length, rng) = (args.length(), Rng::with_seed(seed));
        let timer = async {
            sleep(length).await;
            over.cancel();
        };
        let readers = (1..=2).map(|n| {
            let (doors, shop, findings, reads) = (system.doors(), shop.clone(), findings.clone(), reads.clone());
            Reader { doors, shop, findings, reads }.read(Rng::with_seed(seed ^ n), over.clone())
        });
        tokio::join!(shop.load(args.rate, rng, over.clone()), join_all(readers), timer);
        stop.cancel();
        system.all_ready().await?;
        let waiting = shop.clone();
        tokio::spawn(async move {
            sleep(patience).await;
            waiting.give_up();
        });
        shop.answered().await;
        anyhow::Ok(())
    };
    let (done, verdict) = tokio::select! {
        both = async {
            let (done, ordered) = tokio::join!(nemesis.run(plan), orders);
            ordered?;
            findings.note("all is healed: now it is judged");
            let (sent, taken) = (shop.sent(), shop.taken().len());
            if taken < sent {
                findings.violation(format!("after {} s of peace only {taken} of {sent} orders are taken", args.patience));
            }
            let verdict = timeout(patience * 3, auditor.audit()).await;
            anyhow::Ok((done, verdict.context("the system does not answer the auditor")??))
        } => both?,
        () = system.supervise() => bail!("the supervisor never ends"),
        () = report::progress(&nemesis) => bail!("the progress never ends"),
    };
    collector.stop();
    let tally = Tally { shop: &shop, collector: &collector, reads: reads.load(Ordering::Relaxed) };
    report::print(&done, &tally, &verdict, &findings);
    system.stop().await?;
    let kept = findings.violations().is_empty();
    println!("{}", if kept { "every promise was kept" } else { "PROMISES WERE BROKEN" });
    Ok(kept)
}

/// The shop opens with few units of one product.
async fn stock(system: &System) -> anyhow::Result<()> {
    let body = json!({"onHand": order::SCARCE_UNITS, "reason": "few of them"});
    let inventory = system.client(&Worker::Inventory.parts()[0]);
    let reply = inventory.try_send("PUT", &format!("/admin/inventory/{}", order::SCARCE), &[], Some(&body)).await?;
    if reply.status != 200 {
        bail!("the stock cannot be set: {} {}", reply.status, reply.body);
    }
    Ok(())
}
