//! Judges the whole from outside, once all is at peace: every acknowledged order, the stock, what the database holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use service::time::parse;
use tokio::time::{Instant, sleep};

use crate::fault::Worker;
use crate::findings::Findings;
use crate::judge::{Facts, judge};
use crate::order::{End, PLENTY, SCARCE, SCARCE_UNITS};
use crate::shop::{Shop, Taken};
use crate::support::{Client, Json};
use crate::system::System;
use crate::topics::Collector;

pub struct Auditor {
    pub system: Arc<System>,
    pub shop: Arc<Shop>,
    pub collector: Arc<Collector>,
    pub findings: Arc<Findings>,
    pub patience: Duration,
}

/// What the report tells of the orders.
#[derive(Default)]
pub struct Verdict {
    pub ended: BTreeMap<End, usize>,
    pub lost: usize,
    pub doubled: usize,
    pub events: usize,
    pub excused: usize,
}

/// Questions that are open at once.
const AT_ONCE: usize = 16;

impl Auditor {
    pub async fn audit(&self) -> anyhow::Result<Verdict> {
        let (taken, until) = (self.shop.taken(), Instant::now() + self.patience);
        let mut verdict = Verdict::default();
        let mut judged = futures::stream::iter(&taken)
            .map(|taken| async move { (taken, self.one(taken, until).await) })
            .buffer_unordered(AT_ONCE);
        let (mut sold, mut unread) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
        while let Some((taken, facts)) = judged.next().await {
            let name = format!("{} ({:?}), saga {}", taken.order.key(), taken.order.method, taken.id);
            let Some(facts) = facts.with_context(|| name.clone())? else {
                verdict.lost += 1;
                self.findings.violation(format!("{name}: it was answered 200, and is lost"));
                continue;
            };
            verdict.events += facts.events.len();
            verdict.excused += usize::from(facts.may_miss_events);
            if facts.order["status"] == End::Confirmed.order_status() {
                *sold.entry(taken.order.sku).or_default() += 1;
                *unread.entry(taken.order.sku).or_default() += i64::from(facts.may_miss_events);
            }
            match judge(&taken.order, &facts) {
                Ok(end) => *verdict.ended.entry(end).or_default() += 1,
                Err(wrong) => {
                    for what in wrong {
                        self.findings.violation(format!("{name}: {what}"));
                    }
                }
            }
        }
        drop(judged);
        self.doubles(&taken, &mut verdict).await?;
        self.stock(&sold, &unread, until).await?;
        self.database().await?;
        Ok(verdict)
    }

    /// All that is to be seen of an order, once it has ended and its events are there, or nobody waits any longer.
    async fn one(&self, taken: &Taken, until: Instant) -> anyhow::Result<Option<Facts>> {
        let instances = self.system.instances();
        let instance = &instances[taken.order.n % instances.len()];
        let id = &taken.id;
        loop {
            let saga = instance.try_send("GET", &format!("/sagas/{id}?wait=5s"), &[], None).await?;
            match saga.status {
                200 => {}
                404 => return Ok(None),
                other => bail!("GET /sagas/{id} is answered {other}: {}", saga.body),
            }
            let time = |name: &str| parse(saga.body[name].as_str().unwrap_or_default());
            let facts = Facts {
                order: get(instance, &format!("/orders/{id}")).await?,
                payments: get(&self.worker(Worker::Payment), &format!("/payments?orderId={id}")).await?,
                notices: get(&self.worker(Worker::Notification), &format!("/notifications?orderId={id}")).await?,
                events: self.collector.events_of(id),
                may_miss_events: self.collector.may_miss(time("createdAt")?, time("updatedAt")?),
                saga: saga.body,
            };
            // Its saga and its events may be on their way.
            if judge(&taken.order, &facts).is_ok() || Instant::now() > until {
                return Ok(Some(facts));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    fn worker(&self, worker: Worker) -> Client {
        self.system.client(&worker.parts()[0])
    }

    /// As many orders as keys, no id twice, and no order that nobody knows of.
    async fn doubles(&self, taken: &[Taken], verdict: &mut Verdict) -> anyhow::Result<()> {
        let ids: BTreeSet<&String> = taken.iter().map(|taken| &taken.id).collect();
        let instance = &self.system.instances()[0];
        let page = get(instance, &format!("/orders?userId={}&size=1", self.shop.user())).await?;
        let stored = page["totalElements"].as_u64().unwrap_or(0) as usize;
        verdict.doubled = stored.saturating_sub(taken.len()) + (taken.len() - ids.len());
        if verdict.doubled > 0 {
            self.findings.violation(format!(
                "{} keys were acknowledged, with {} ids, and {stored} orders are stored",
                taken.len(),
                ids.len()
            ));
        }
        for id in self.collector.orders().iter().filter(|id| !ids.contains(id)) {
            self.findings.violation(format!("there are events of {id}, and nobody was told of that order"));
        }
        Ok(())
    }

    /// The units of each product. `unread`: of that many a lost `order.confirmed` may never have been read, and they
    /// stay reserved.
    async fn stock(
        &self,
        sold: &BTreeMap<&str, i64>,
        unread: &BTreeMap<&str, i64>,
        until: Instant,
    ) -> anyhow::Result<()> {
        for sku in PLENTY.into_iter().chain([SCARCE]) {
            let (sold, unread) = (sold.get(sku).copied().unwrap_or(0), unread.get(sku).copied().unwrap_or(0));
            loop {
                let reply =
                    self.worker(Worker::Inventory).try_send("GET", &format!("/inventory/{sku}"), &[], None).await?;
                if reply.status == 404 && sold == 0 {
                    break; // nobody has asked for it
                }
                let stock = reply.body;
                let number = |name: &str| stock[name].as_i64().unwrap_or(i64::MIN);
                let (available, reserved) = (number("available"), number("reserved"));
                let balanced = number("onHand") == available + reserved + number("sold") && available >= 0;
                let right = reserved + number("sold") == sold && (0..=unread).contains(&reserved);
                if balanced && right && (sku != SCARCE || sold <= SCARCE_UNITS) {
                    break;
                }
                if Instant::now() > until {
                    self.findings.violation(format!(
                        "{sold} units of {sku} were confirmed ({unread} of them may count as reserved): {stock}"
                    ));
                    break;
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
        Ok(())
    }

    /// `saga audit`.
    async fn database(&self) -> anyhow::Result<()> {
        let status = self.system.command(&["audit"], "audit")?.status().await?;
        if !status.success() {
            self.findings.violation(format!("saga audit: {status}, see ours/audit.log"));
        }
        Ok(())
    }
}

async fn get(client: &Client, path: &str) -> anyhow::Result<Json> {
    let reply = client.try_send("GET", path, &[], None).await?;
    match reply.status {
        200 => Ok(reply.body),
        other => bail!("GET {path} is answered {other}: {}", reply.body),
    }
}
