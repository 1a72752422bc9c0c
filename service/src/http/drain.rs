//! Taking what a client still sends when it has been refused already.
//!
//! A connection that is closed while data is coming in is reset, and a reset may throw away the answer before the
//! client has read it. So a refusal waits for the rest of a body that nobody read, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// So much is taken, for so long, and as long as something comes.
pub(super) const AT_MOST_BYTES: usize = 64 * 1024 * 1024;
pub(super) const AT_MOST: Duration = Duration::from_secs(4);
pub(super) const SILENCE: Duration = Duration::from_millis(500);

pub(super) async fn take_what_comes(request: Request, next: Next) -> Response {
    // A client that expects a go-ahead has not sent its body and will not, once refused.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (give_back, given_back) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body, give_back: Some(give_back) }));
    let response = next.run(request).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if let (true, Ok(body)) = (refused, { given_back }.try_recv()) {
        // Whatever comes of it: the answer is sent now.
        let _rest = tokio::time::timeout(AT_MOST, discard(body)).await;
    }
    response
}

async fn discard(mut body: Body) {
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > AT_MOST_BYTES {
            break;
        }
    }
}

/// A body that goes back to its lender if it is dropped before its end.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.give_back = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            // A lender that is gone does not want it.
            let _gone = give_back.send(std::mem::take(&mut self.body));
        }
    }
}
