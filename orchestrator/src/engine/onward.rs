//! Work that goes on if whoever waits for it goes away.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Work that is done by whoever waits for it, and by a task of its own from when nobody does: nearly always somebody
/// waits to the end, and a task would cost them two changes of hands. A panic of it is told, as a task's is.
pub struct Onward<F>(Option<Pin<Box<F>>>)
where
    F: Future + Send + 'static,
    F::Output: Send;

impl<F> Onward<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    pub fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F> Future for Onward<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Whoever asks again after the end waits for ever.
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panic) => Err(panic),
        };
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<F> Drop for Onward<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        // Where there is no runtime any more nothing goes on.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_done_whether_or_not_it_is_waited_for() {
        let work = |done: oneshot::Sender<()>| async move {
            sleep(Duration::from_secs(2)).await;
            done.send(()).is_ok()
        };
        let (done, was_done) = oneshot::channel();
        assert!(Onward::new(work(done)).await.unwrap());
        was_done.await.unwrap();
        let (done, was_done) = oneshot::channel();
        assert!(timeout(Duration::from_secs(1), Onward::new(work(done))).await.is_err());
        was_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let panics: std::future::PollFn<fn(&mut Context<'_>) -> Poll<()>> =
            std::future::poll_fn(|_| panic!("on purpose"));
        let panic = Onward::new(panics).await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    }
}
