//! Orders over HTTP: a window of sagas in flight, or a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    placed: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    window: u64,
    rate: Option<u64>,
}

impl Load {
    pub async fn start(args: &Args, address: &str) -> anyhow::Result<Self> {
        let load = Self {
            permits: Arc::new(Semaphore::new(0)),
            placed: Arc::default(),
            refused: Arc::default(),
            window: args.window,
            rate: args.rate,
        };
        for n in 0..args.connections {
            let connection = Connection {
                permits: load.permits.clone(),
                placed: load.placed.clone(),
                refused: load.refused.clone(),
                address: address.to_owned(),
                declined: args.declined,
                products: args.products.max(2),
                seed: n as u64 * 1_000_003,
            };
            tokio::spawn(async move {
                if let Err(error) = connection.run().await {
                    eprintln!("a connection ended: {error:#}");
                }
            });
        }
        Ok(load)
    }

    /// Keeps the load up for that long.
    pub async fn run_for(&self, time: Duration, system: &System) -> anyhow::Result<()> {
        let (start, mut pace) = (Instant::now(), tokio::time::interval(Duration::from_millis(40)));
        let (mut allowed_by_rate, mut last) = (0.0, start);
        while start.elapsed() < time {
            pace.tick().await;
            let permits = match self.rate {
                Some(rate) => {
                    allowed_by_rate += last.elapsed().as_secs_f64() * rate as f64;
                    last = Instant::now();
                    let whole = allowed_by_rate as usize;
                    allowed_by_rate -= whole as f64;
                    whole
                }
                None => {
                    let finished = system.finished().await?;
                    let open = self.placed.load(Ordering::Relaxed).saturating_sub(finished);
                    let promised = open + self.permits.available_permits() as u64;
                    self.window.saturating_sub(promised) as usize
                }
            };
            self.permits.add_permits(permits);
        }
        Ok(())
    }

    /// No more orders.
    pub fn stop(&self) {
        self.permits.close();
        let refused = self.refused.load(Ordering::Relaxed);
        if refused > 0 {
            eprintln!("{refused} orders were refused");
        }
    }
}

struct Connection {
    permits: Arc<Semaphore>,
    placed: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    address: String,
    declined: u64,
    products: u64,
    seed: u64,
}

impl Connection {
    async fn run(mut self) -> anyhow::Result<()> {
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
            let taken = response.status() == hyper::StatusCode::OK;
            response.into_body().collect().await?;
            if taken { &self.placed } else { &self.refused }.fetch_add(1, Ordering::Relaxed);
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
