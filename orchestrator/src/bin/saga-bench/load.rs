//! Orders over HTTP: a window of sagas in flight, or a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;

use crate::Args;
use crate::system::System;

/// Connections that place orders, each as permits come.
pub struct Load {
    permits: Arc<Semaphore>,
    answers: Arc<Answers>,
    address: String,
    declined: u64,
    products: u64,
    /// Connections that were opened.
    opened: AtomicUsize,
}

/// How orders come.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many sagas are in flight.
    Window(u64),
    /// So many orders a second, whatever becomes of them.
    Rate(u64),
}

/// What became of orders.
#[derive(Default)]
pub struct Answers {
    /// 200.
    pub taken: AtomicU64,
    /// 503.
    pub shed: AtomicU64,
    /// Any other status.
    pub wrong: AtomicU64,
    /// None: the connection broke.
    pub broken: AtomicU64,
}

impl Load {
    pub fn start(args: &Args, address: &str) -> Self {
        let load = Self {
            permits: Arc::new(Semaphore::new(0)),
            answers: Arc::default(),
            address: address.to_owned(),
            declined: args.declined,
            products: args.products.max(2),
            opened: AtomicUsize::new(0),
        };
        load.open(args.connections);
        load
    }

    /// Opens connections until there are so many.
    pub fn open(&self, connections: usize) {
        let first = self.opened.fetch_max(connections, Ordering::Relaxed);
        for n in first..connections {
            // Nobody's listener takes thousands at the same moment.
            let begins = Duration::from_micros(500 * (n - first) as u64);
            let mut connection = Connection {
                permits: self.permits.clone(),
                answers: self.answers.clone(),
                address: self.address.clone(),
                declined: self.declined,
                products: self.products,
                seed: n as u64 * 1_000_003,
            };
            tokio::spawn(async move {
                tokio::time::sleep(begins).await;
                while let Err(error) = connection.run().await {
                    if connection.answers.broken.fetch_add(1, Ordering::Relaxed) == 0 {
                        eprintln!("a connection broke (more are counted): {error:#}");
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
    }

    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Keeps the load up for that long.
    pub async fn run_for(&self, time: Duration, pace: Pace, system: &System) -> anyhow::Result<()> {
        let (start, mut beat) = (Instant::now(), tokio::time::interval(Duration::from_millis(40)));
        let (mut allowed_by_rate, mut last) = (0.0, start);
        while start.elapsed() < time {
            beat.tick().await;
            let permits = match pace {
                Pace::Rate(rate) => {
                    allowed_by_rate += last.elapsed().as_secs_f64() * rate as f64;
                    last = Instant::now();
                    let whole = allowed_by_rate as usize;
                    allowed_by_rate -= whole as f64;
                    whole
                }
                Pace::Window(window) => {
                    let finished = system.finished().await?;
                    let open = self.answers.taken.load(Ordering::Relaxed).saturating_sub(finished);
                    let promised = open + self.permits.available_permits() as u64;
                    window.saturating_sub(promised) as usize
                }
            };
            // What no connection was free for is not made up for later: an order that waits here is none.
            let waiting = self.permits.available_permits();
            self.permits.add_permits(permits.saturating_sub(if matches!(pace, Pace::Rate(_)) { waiting } else { 0 }));
        }
        Ok(())
    }

    /// No more orders.
    pub fn stop(&self) {
        self.permits.close();
    }
}

struct Connection {
    permits: Arc<Semaphore>,
    answers: Arc<Answers>,
    address: String,
    declined: u64,
    products: u64,
    seed: u64,
}

impl Connection {
    /// Until the load is over.
    async fn run(&mut self) -> anyhow::Result<()> {
        let stream = tokio::net::TcpStream::connect(&self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        loop {
            // Closed: the load is over.
            let Ok(permit) = self.permits.acquire().await else { return Ok(()) };
            permit.forget();
            let request = hyper::Request::post("/orders")
                .header("host", &self.address)
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(self.body())))?;
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let counter = match response.status().as_u16() {
                200 => &self.answers.taken,
                503 => &self.answers.shed,
                _ => &self.answers.wrong,
            };
            response.into_body().collect().await?;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An order of three units of two products; the next of a sequence (a 64-bit linear congruence, Knuth).
    fn body(&mut self) -> String {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.seed >> 33;
        let method = if random % 100 < self.declined { "pm_decline" } else { "pm_approve" };
        let product = random / 100 % (self.products / 2);
        format!(
            "{{\"userId\":\"11111111-1111-1111-1111-{:012x}\",\"amount\":499.99,\"paymentMethod\":\"{method}\",\
             \"items\":{{\"aaaaaaaa-aaaa-aaaa-aaaa-{product:012x}\":2,\"bbbbbbbb-bbbb-bbbb-bbbb-{product:012x}\":1}}}}",
            random % 10_000
        )
    }
}
