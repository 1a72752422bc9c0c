//! Bodies that fail with a [`Problem`]: whoever reads them ([`super::JsonBody`]) refuses the request with it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::problem::{Code, Problem};

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take once the process is to end.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// A body for which nobody waits for ever, and a process that ends not for long.
pub(super) struct Punctual {
    body: Incoming,
    draining: Arc<CancellationToken>,
    /// Begins when the body is first waited for: most have come with their head.
    late: Option<Pin<Box<dyn Future<Output = Problem> + Send>>>,
}

impl Punctual {
    pub(super) fn new(body: Incoming, draining: Arc<CancellationToken>) -> Self {
        Self { body, draining, late: None }
    }
}

impl HttpBody for Punctual {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let draining = self.draining.clone();
        let late = self.late.get_or_insert_with(|| Box::pin(late(draining)));
        let problem = ready!(late.as_mut().poll(cx));
        self.late = None;
        Poll::Ready(Some(Err(problem.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn late(draining: Arc<CancellationToken>) -> Problem {
    let the_end = async {
        draining.cancelled().await;
        tokio::time::sleep(LAST_PATIENCE).await;
    };
    tokio::select! {
        () = tokio::time::sleep(PATIENCE) => {
            let detail = format!("the body did not arrive within {} s", PATIENCE.as_secs());
            Problem::new(Code::MalformedJson, detail)
        }
        () = the_end => {
            let detail = "the instance is ending, and the body did not arrive; nothing was done, ask again";
            Problem::new(Code::NotReady, detail)
        }
    }
}

/// A body whose reader is refused with `problem`: for one that was read before, and found wrong.
pub fn refused_body(problem: Problem) -> Body {
    Body::new(Refused(Some(problem)))
}

struct Refused(Option<Problem>);

impl HttpBody for Refused {
    type Data = Bytes;
    type Error = Problem;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Problem>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// The problem with which a body failed, if it failed with one.
pub(super) fn problem_in(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref().cloned())
}
