//! Acknowledgements, collected.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrator::bus::{Ack, AckSink};
use tokio::sync::Notify;

/// What a test waits for at most.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
pub struct Acks {
    acks: Arc<Mutex<Vec<Ack>>>,
    more: Arc<Notify>,
}

impl Acks {
    pub fn sink(&self) -> AckSink {
        let Self { acks, more } = self.clone();
        Arc::new(move |ack| {
            acks.lock().unwrap().push(ack);
            more.notify_one();
        })
    }

    pub fn now(&self) -> Vec<Ack> {
        self.acks.lock().unwrap().clone()
    }

    /// Waits for that many, all in all.
    pub async fn wait_for(&self, count: usize) -> Vec<Ack> {
        let enough = async {
            while self.acks.lock().unwrap().len() < count {
                self.more.notified().await;
            }
        };
        if tokio::time::timeout(PATIENCE, enough).await.is_err() {
            panic!("{} acknowledgements instead of {count}", self.now().len());
        }
        self.now()
    }
}
