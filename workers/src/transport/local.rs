//! The bus inside one process: what is handed over stays in memory, and marks are callbacks.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Delivery, MAX_BATCH, Marks, Outgoing, Position, Sent, Sink, Source};

/// Is told what is done. Quick, never blocking.
pub type OnDone = Arc<dyn Fn(Position) + Send + Sync>;

/// The workers' end of a topic.
pub struct LocalSource {
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    marks: Arc<LocalMarks>,
}

/// A topic inside the process: the sender's end and the workers' end. `on_done` is told what the workers have finished
/// with; what they were handed and never finished with has to be handed to them again after a start.
pub fn topic(on_done: OnDone) -> (mpsc::UnboundedSender<Delivery>, LocalSource) {
    let (sender, deliveries) = mpsc::unbounded_channel();
    (sender, LocalSource { deliveries, marks: Arc::new(LocalMarks(on_done)) })
}

#[async_trait]
impl Source for LocalSource {
    async fn next(&mut self) -> Option<Vec<Delivery>> {
        let mut batch = Vec::new();
        let count = self.deliveries.recv_many(&mut batch, MAX_BATCH).await;
        (count > 0).then_some(batch)
    }

    fn marks(&self) -> Arc<dyn Marks> {
        Arc::clone(&self.marks) as Arc<dyn Marks>
    }

    async fn close(self) {}
}

struct LocalMarks(OnDone);

#[async_trait]
impl Marks for LocalMarks {
    async fn done(&self, positions: Vec<Position>) {
        positions.into_iter().for_each(|position| (self.0)(position));
    }
}

/// Hands replies and dead letters to whoever reads the other end.
#[derive(Debug, Clone)]
pub struct LocalSink(mpsc::UnboundedSender<Vec<Outgoing>>);

/// A sink inside the process and its other end.
pub fn sink() -> (LocalSink, mpsc::UnboundedReceiver<Vec<Outgoing>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (LocalSink(sender), receiver)
}

impl Sink for LocalSink {
    fn send(&self, messages: Vec<Outgoing>) -> Sent {
        // Nobody reads any more: the process ends, and what was not marked as done comes again after its start.
        let gone = self.0.send(messages).is_err();
        if gone { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}
