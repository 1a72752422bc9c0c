//! Moving a future by hand.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Polls once; what it waits for is somebody else's concern.
pub async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut future).poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// A part of an instance, or what it is in the middle of.
pub enum Slot<P> {
    Idle(Box<P>),
    Busy(Pin<Box<dyn Future<Output = Box<P>>>>),
    /// Only between two of the others.
    Moving,
}

impl<P: 'static> Slot<P> {
    pub fn idle(&self) -> Option<&P> {
        match self {
            Slot::Idle(part) => Some(part),
            Slot::Busy(_) | Slot::Moving => None,
        }
    }

    /// Begins something, if it is idle, and goes on with it as far as it gets. Whether it is done.
    pub async fn step<F: Future<Output = Box<P>> + 'static>(&mut self, begin: impl FnOnce(Box<P>) -> F) -> bool {
        *self = match std::mem::replace(self, Slot::Moving) {
            Slot::Idle(part) => Slot::Busy(Box::pin(begin(part))),
            other => other,
        };
        let Slot::Busy(work) = self else { return false };
        match poll_once(work).await {
            Some(part) => {
                *self = Slot::Idle(part);
                true
            }
            None => false,
        }
    }
}
