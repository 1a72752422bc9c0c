//! The loop of a worker: take, handle, mark as done.
//!
//! While a batch's replies are on their way the next one is handled already; a batch is marked once its replies are
//! durable, and in order, so that no mark ever passes a batch that was not answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Handler;
use crate::transport::{Marks, Position, Sent, Source, positions};

/// Batches whose replies are on their way; more are not taken before the first of them is through.
const IN_FLIGHT: usize = 4;
/// How long replies are waited for once the worker is asked to stop.
const LAST_REPLIES: Duration = Duration::from_secs(3);

/// Works until there are no more messages, or until `stop`.
pub async fn serve(mut source: impl Source, handler: Arc<dyn Handler>, stop: CancellationToken) {
    let (answered, marking) = mpsc::channel(IN_FLIGHT);
    let marks = tokio::spawn(mark(source.marks(), marking));
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            batch = source.next() => batch,
        };
        let Some(batch) = batch else { break };
        let done = positions(&batch);
        let Ok(sent) = handler.handle(batch).await else { break };
        if answered.send((sent, done)).await.is_err() {
            break; // whoever marks broke; what is not marked comes again
        }
    }
    drop(answered);
    if tokio::time::timeout(LAST_REPLIES, marks).await.is_err() {
        tracing::warn!("Replies were still on their way at the end; their commands come again");
    }
    source.close().await;
}

async fn mark(marks: Arc<dyn Marks>, mut answered: mpsc::Receiver<(Vec<Sent>, Vec<Position>)>) {
    while let Some((sent, done)) = answered.recv().await {
        for message in sent {
            message.await;
        }
        marks.done(done).await;
    }
}
