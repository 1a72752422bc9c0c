//! What stands around every participant, as `tower` layers: a time limit that never drops work half-way, and a check
//! that each job got its answer.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, service_fn};

use crate::participant::{Acted, Job, Participant, Settled, Undone};
use crate::trouble::Trouble;

/// Jobs that travel together.
pub type Jobs<T> = Arc<[Job<T>]>;

/// One of the three calls of a participant, with the layers around it. It answers each job, or is too late.
pub type Call<T, A> = BoxCloneSyncService<Jobs<T>, InTime<Vec<A>>, Trouble>;

/// An answer, or the knowledge that it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTime<A> {
    Yes(A),
    /// Whether the work happened, or still will, is not known.
    No {
        limit: Duration,
    },
}

/// A participant as the runtime calls it.
pub struct Calls<T> {
    pub act: Call<T, Acted>,
    pub settle: Call<T, Settled>,
    pub undo: Call<T, Undone>,
}

impl<T: Send + Sync + 'static> Calls<T> {
    /// Puts the layers around `participant`; no call is waited for longer than `limit`.
    pub fn around<P: Participant<Task = T>>(participant: &Arc<P>, limit: Duration) -> Self {
        let (act, settle, undo) = (Arc::clone(participant), Arc::clone(participant), Arc::clone(participant));
        Self {
            act: layered(limit, move |jobs: Jobs<T>| {
                let participant = Arc::clone(&act);
                async move { participant.act(&jobs).await }
            }),
            settle: layered(limit, move |jobs: Jobs<T>| {
                let participant = Arc::clone(&settle);
                async move { participant.settle(&jobs).await }
            }),
            undo: layered(limit, move |jobs: Jobs<T>| {
                let participant = Arc::clone(&undo);
                async move { participant.undo(&jobs).await }
            }),
        }
    }
}

fn layered<T, A, F, R>(limit: Duration, call: F) -> Call<T, A>
where
    T: Send + Sync + 'static,
    A: Send + 'static,
    F: Fn(Jobs<T>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Vec<A>, Trouble>> + Send + 'static,
{
    BoxCloneSyncService::new(
        ServiceBuilder::new().layer(TimeLimit { limit }).layer(AnswerEach).service(service_fn(call)),
    )
}

/// Stops waiting after `limit`. The work goes on in a task of its own: dropped half-way it could leave a connection
/// inside a transaction. A panic in it ends here.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    pub limit: Duration,
}

/// [`TimeLimit`] around a service.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    inner: S,
    limit: Duration,
}

impl<S> Layer<S> for TimeLimit {
    type Service = Limited<S>;
    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limit: self.limit }
    }
}

impl<S, Q> Service<Q> for Limited<S>
where
    S: Service<Q, Error = Trouble>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = InTime<S::Response>;
    type Error = Trouble;
    type Future = BoxFuture<'static, Result<InTime<S::Response>, Trouble>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let (work, limit) = (tokio::spawn(self.inner.call(request)), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, work).await {
                Ok(Ok(answer)) => answer.map(InTime::Yes),
                Ok(Err(broken)) => Err(Trouble::Poison(format!("the participant broke: {broken}"))),
                Err(_elapsed) => Ok(InTime::No { limit }),
            }
        })
    }
}

/// Refuses an answer that does not have one entry for each job.
#[derive(Debug, Clone, Copy)]
pub struct AnswerEach;

/// [`AnswerEach`] around a service.
#[derive(Debug, Clone)]
pub struct Counted<S>(S);

impl<S> Layer<S> for AnswerEach {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted(inner)
    }
}

impl<S, T, A> Service<Jobs<T>> for Counted<S>
where
    S: Service<Jobs<T>, Response = Vec<A>, Error = Trouble>,
    S::Future: Send + 'static,
{
    type Response = Vec<A>;
    type Error = Trouble;
    type Future = BoxFuture<'static, Result<Vec<A>, Trouble>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, jobs: Jobs<T>) -> Self::Future {
        let (asked, answers) = (jobs.len(), self.0.call(jobs));
        Box::pin(async move {
            let answers = answers.await?;
            if answers.len() != asked {
                let detail = format!("the participant answered {} of {asked} jobs", answers.len());
                return Err(Trouble::Poison(detail));
            }
            Ok(answers)
        })
    }
}
