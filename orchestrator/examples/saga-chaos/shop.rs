//! The clients: they place orders until each is taken, and keep their own log of what was acknowledged.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::findings::{Findings, lock};
use crate::order::{Method, Order};
use crate::support::{Client, Json};

/// How long a client waits for an answer.
pub const ANSWER: Duration = Duration::from_secs(4);
/// Between two tries at first; it doubles up to the other. Clients that are turned away must not become the load.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);

pub struct Shop {
    /// The orchestrators, through their doors.
    doors: Vec<Client>,
    /// The same, with the operator's key.
    operators: Vec<Client>,
    user: String,
    findings: Arc<Findings>,
    /// Orders that were placed: the next one's number.
    next: AtomicUsize,
    /// What was answered 200: the client's own log.
    acknowledged: Mutex<Vec<Taken>>,
    tries: AtomicU64,
    tasks: TaskTracker,
    /// Nobody waits any longer.
    give_up: CancellationToken,
}

/// An order that was answered 200.
#[derive(Clone, Debug)]
pub struct Taken {
    pub order: Order,
    pub id: String,
}

impl Shop {
    pub fn new(doors: Vec<Client>, operators: Vec<Client>, findings: Arc<Findings>) -> Arc<Self> {
        Arc::new(Self {
            doors,
            operators,
            user: "11111111-1111-1111-1111-111111111111".to_owned(),
            findings,
            next: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
            tries: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
        })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn sent(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.acknowledged).clone()
    }

    /// Requests with orders.
    pub fn tries(&self) -> u64 {
        self.tries.load(Ordering::Relaxed)
    }

    /// One of the orders that were acknowledged last: most of those are on their way.
    pub fn recent(&self, rng: &mut Rng) -> Option<String> {
        const RECENT: usize = 200;
        let taken = lock(&self.acknowledged);
        let from = taken.len().saturating_sub(RECENT);
        (from < taken.len()).then(|| taken[rng.usize(from..taken.len())].id.clone())
    }

    fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Places `rate` orders a second, whatever becomes of them, until `stop`.
    pub async fn load(self: &Arc<Self>, rate: f64, mut rng: Rng, stop: CancellationToken) {
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pace.tick() => {}
            }
            let order = Order::any(self.number(), &self.user, &mut rng);
            let (shop, twice) = (self.clone(), rng.u32(..20) == 0);
            self.tasks.spawn(async move {
                let Some(id) = shop.place(&order).await else { return };
                if twice
                    && let Some(again) = shop.insist(&order, order.n + 1).await
                    && again != id
                {
                    shop.findings.violation(format!("{} was doubled: {id} and {again}", order.key()));
                }
                if order.method == Method::RefundFails {
                    shop.operate(&id).await;
                }
            });
        }
    }

    /// How long an order takes to be completed; none if it never was.
    pub async fn probe(&self) -> Option<Duration> {
        let began = Instant::now();
        let order = Order::probe(self.number(), &self.user);
        let id = self.place(&order).await?;
        self.until(&id, |saga| saga["status"] == "COMPLETED").await.map(|_| began.elapsed())
    }

    /// Waits until all that was placed is answered, and what needs an operator has had one.
    pub async fn answered(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Nobody waits for an answer any longer.
    pub fn give_up(&self) {
        self.give_up.cancel();
    }

    /// Places an order until it is taken, and notes it.
    async fn place(&self, order: &Order) -> Option<String> {
        let id = self.insist(order, order.n).await?;
        lock(&self.acknowledged).push(Taken { order: order.clone(), id: id.clone() });
        Some(id)
    }

    /// Sends an order with its key to one orchestrator after the other, until one answers 200.
    async fn insist(&self, order: &Order, first: usize) -> Option<String> {
        let (key, body, mut pause) = (order.key(), order.body(), PAUSE);
        for door in self.doors.iter().cycle().skip(first % self.doors.len()) {
            self.tries.fetch_add(1, Ordering::Relaxed);
            let headers = [("idempotency-key", key.as_str())];
            match timeout(ANSWER, door.try_send("POST", "/orders", &headers, Some(&body))).await {
                Ok(Ok(reply)) if reply.status == 200 => {
                    if let Some(id) = reply.body["id"].as_str() {
                        return Some(id.to_owned());
                    }
                    self.findings.violation(format!("{key}: a 200 without an id: {}", reply.body));
                    return None;
                }
                Ok(Ok(reply)) if reply.status == 503 => {}
                Ok(Ok(reply)) => {
                    self.findings.violation(format!("{key} was answered {}: {}", reply.status, reply.body));
                    return None;
                }
                Ok(Err(_)) | Err(_) => {} // no answer: it may be stored, or not
            }
            if !self.pause(pause).await {
                return None;
            }
            pause = (pause * 2).min(LONGEST);
        }
        None
    }

    /// False if nobody waits any longer.
    async fn pause(&self, span: Duration) -> bool {
        tokio::select! {
            () = self.give_up.cancelled() => false,
            () = tokio::time::sleep(span) => true,
        }
    }

    /// Asks one orchestrator after the other until `holds` of the saga.
    async fn until(&self, id: &str, holds: impl Fn(&Json) -> bool) -> Option<Json> {
        for door in self.doors.iter().cycle() {
            let path = format!("/sagas/{id}?wait=1s");
            if let Ok(Ok(reply)) = timeout(ANSWER, door.try_send("GET", &path, &[], None)).await
                && reply.status == 200
                && holds(&reply.body)
            {
                return Some(reply.body);
            }
            if !self.pause(PAUSE).await {
                return None;
            }
        }
        None
    }

    /// The operator of an order whose refund fails: replays it whenever it is stuck, until it has ended.
    async fn operate(&self, id: &str) {
        let mut stuck = false;
        loop {
            let at_rest = |saga: &Json| ["STUCK", "COMPENSATED"].contains(&saga["status"].as_str().unwrap_or_default());
            let Some(saga) = self.until(id, at_rest).await else { return };
            if saga["status"] == "COMPENSATED" {
                if !stuck {
                    self.findings.violation(format!("saga {id}: its refund fails, and it was never stuck"));
                }
                return;
            }
            stuck = true;
            let (path, reason) = (format!("/admin/sagas/{id}/replay"), json!({"reason": "the refund service is back"}));
            for door in self.operators.iter().cycle() {
                let answer = timeout(ANSWER, door.try_send("POST", &path, &[], Some(&reason))).await;
                match answer {
                    // Refused: an earlier try was stored, though its answer was lost.
                    Ok(Ok(reply)) if [200, 409].contains(&reply.status) => break,
                    Ok(Ok(reply)) if reply.status != 503 => {
                        self.findings.violation(format!("replay of {id} was answered {}", reply.status));
                        return;
                    }
                    _ if !self.pause(PAUSE).await => return,
                    _ => {}
                }
            }
        }
    }
}
