//! The bare loop: take what has come, one commit, and only then send.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, anyhow};
use saga_model::ids::ShardCount;
use service::kafka::{Admin, topics};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::pattern::{COMMANDS, Pattern};
use super::post::{self, Thread, Transition};
use super::store::Store;

/// Partitions of a topic: as the real system has them by default.
const PARTITIONS: u16 = 4;
/// Transitions in one commit.
const MAX_COMMIT: usize = 1_024;
/// If nothing comes for so long, something is broken.
const PATIENCE: Duration = Duration::from_secs(15);

pub struct Pipeline {
    pattern: Arc<Pattern>,
    window: usize,
    store: Store,
    stored: mpsc::Sender<Vec<Transition>>,
    replies: UnboundedReceiver<Vec<Transition>>,
    /// Read and not yet taken into a commit.
    waiting: Vec<Transition>,
    /// The last transition of each saga in flight.
    live: BTreeMap<Uuid, usize>,
    ended: u64,
    threads: Vec<Thread>,
    stop: Arc<AtomicBool>,
}

impl Pipeline {
    pub async fn start(pattern: Pattern, window: u64) -> anyhow::Result<Self> {
        let pattern = Arc::new(pattern);
        let id = Uuid::new_v4().simple().to_string();
        let prefix = format!("straw{}.", &id[..12]);
        let names: Vec<String> = topics::ALL.iter().map(|topic| format!("{prefix}{topic}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let partitions = ShardCount::new(PARTITIONS).context("a number of partitions")?;
        Admin::new(&pattern.brokers, "straw")?.create_missing(&names, partitions, None).await?;
        let (stop, (replies, heard)) = (Arc::new(AtomicBool::new(false)), tokio::sync::mpsc::unbounded_channel());
        let (stored, to_be_sent) = mpsc::channel();
        let mut threads =
            vec![post::listen(&pattern, &prefix, replies, &stop)?, post::send(&pattern, &prefix, to_be_sent)?];
        for step in 0..COMMANDS.len() {
            threads.push(post::work(&pattern, &prefix, step, &stop)?);
        }
        let store = Store::create(&pattern.admin_url, &format!("straw_{id}")).await?;
        let window = usize::try_from(window)?;
        let (waiting, live) = (Vec::new(), BTreeMap::new());
        Ok(Self { pattern, window, store, stored, replies: heard, waiting, live, ended: 0, threads, stop })
    }

    /// Sagas that came to their end.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    pub async fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.turn().await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() && self.live.len() >= self.window {
            let heard = timeout(PATIENCE, self.replies.recv()).await.context("the straw pipeline stands still")?;
            self.waiting = heard.context("whoever reads the replies has ended")?;
        }
        while let Ok(more) = self.replies.try_recv() {
            self.waiting.extend(more);
        }
        let mut batch: Vec<Transition> = Vec::new();
        for (saga, answered) in self.waiting.drain(..self.waiting.len().min(MAX_COMMIT)) {
            // A reply may come twice.
            if let Some(step) = self.live.get_mut(&saga).filter(|step| **step == answered) {
                *step += 1;
                batch.push((saga, *step));
            }
        }
        let room = self.window.saturating_sub(self.live.len()).min(MAX_COMMIT - batch.len());
        for _ in 0..room {
            let saga = Uuid::now_v7();
            self.live.insert(saga, 0);
            batch.push((saga, 0));
        }
        self.store.commit(&batch, &self.pattern).await?;
        for (saga, _) in batch.iter().filter(|(_, step)| *step == COMMANDS.len()) {
            self.live.remove(saga);
            self.ended += 1;
        }
        self.stored.send(batch).map_err(|_| anyhow!("whoever sends has ended"))
    }

    /// Ends the threads and removes the database.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        drop((self.replies, self.stored));
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
            outcome = outcome.and(ended.map_err(|_| anyhow!("a thread of the straw pipeline panicked")).flatten());
        }
        self.store.drop().await.and(outcome)
    }
}
