//! The bare loop: take what has come, one commit, and only then send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use saga_model::ids::ShardCount;
use service::kafka::{Admin, Batching, topics};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use uuid::Uuid;

use super::pattern::Pattern;
use super::post::{self, Reader, Sender};
use super::store::{Line, Store};

/// Partitions of a topic: as the real system has them by default.
const PARTITIONS: u16 = 4;
/// Transitions in one commit.
const MAX_BATCH: usize = 1_024;

pub struct Pipeline {
    pattern: Arc<Pattern>,
    window: usize,
    store: Store,
    commands: Sender,
    events: Sender,
    replies: UnboundedReceiver<Vec<Uuid>>,
    /// Read and not yet taken into a commit.
    waiting: Vec<Uuid>,
    /// The last transition of each saga in flight.
    live: BTreeMap<Uuid, usize>,
    ended: u64,
    readers: Vec<Reader>,
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
        let (stop, (replies, heard)) = (Arc::new(AtomicBool::new(false)), mpsc::unbounded_channel());
        let mut readers = vec![post::listen(&pattern, &prefix, replies, &stop)?];
        for topic in [topics::INVENTORY_COMMANDS, topics::PAYMENT_COMMANDS, topics::NOTIFICATION_COMMANDS] {
            readers.push(post::work(&pattern, &prefix, topic, &stop)?);
        }
        Ok(Self {
            store: Store::create(&pattern.admin_url, &format!("straw_{id}")).await?,
            commands: Sender::new(&pattern.brokers, &prefix, Batching::Prompt)?,
            events: Sender::new(&pattern.brokers, &prefix, Batching::Grouped)?,
            window: usize::try_from(window)?,
            replies: heard,
            waiting: Vec::new(),
            live: BTreeMap::new(),
            ended: 0,
            readers,
            stop,
            pattern,
        })
    }

    /// Sagas that came to their end.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    pub async fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            self.turn().await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() && self.live.len() >= self.window {
            self.waiting = self.replies.recv().await.context("whoever reads the replies has ended")?;
        }
        while let Ok(more) = self.replies.try_recv() {
            self.waiting.extend(more);
        }
        let mut batch: Vec<(Uuid, usize)> = Vec::new();
        for saga in self.waiting.drain(..self.waiting.len().min(MAX_BATCH)) {
            if let Some(step) = self.live.get_mut(&saga) {
                *step += 1;
                batch.push((saga, *step));
            }
        }
        for _ in self.live.len()..self.window.min(self.live.len() + MAX_BATCH - batch.len()) {
            let saga = Uuid::now_v7();
            self.live.insert(saga, 0);
            batch.push((saga, 0));
        }
        let transitions = &self.pattern.transitions;
        let line = |(saga, step): &(Uuid, usize)| {
            Ok(Line { saga: *saga, step: i32::try_from(*step)?, data: &transitions[*step].data })
        };
        let lines = batch.iter().map(line).collect::<anyhow::Result<Vec<Line<'_>>>>()?;
        self.store.commit(&lines, &self.pattern.input, &self.pattern.state).await?;
        for (saga, step) in batch {
            let transition = &transitions[step];
            transition.command.iter().try_for_each(|command| self.commands.send(saga, command))?;
            transition.event.iter().try_for_each(|event| self.events.send(saga, event))?;
            if step + 1 == transitions.len() {
                self.live.remove(&saga);
                self.ended += 1;
            }
        }
        Ok(())
    }

    /// Ends the threads and removes the database.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.replies);
        for reader in self.readers {
            let ended = tokio::task::spawn_blocking(move || reader.join()).await?;
            ended.map_err(|_| anyhow::anyhow!("a thread of the straw pipeline panicked"))??;
        }
        self.commands.flush()?;
        self.events.flush()?;
        self.store.drop().await
    }
}
