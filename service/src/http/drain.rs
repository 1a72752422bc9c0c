//! Taking what a client still sends when it has been refused already.
//!
//! A connection that is closed while data is coming in is reset, and a reset may throw away the answer before the
//! client has read it. So a refusal waits for the rest of a body that nobody read, within bounds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::late::Punctual;

/// So much is taken, for so long, and as long as something comes.
pub(super) const AT_MOST_BYTES: usize = 64 * 1024 * 1024;
pub(super) const AT_MOST: Duration = Duration::from_secs(4);
pub(super) const SILENCE: Duration = Duration::from_millis(500);

/// A body for whoever answers the request, and what is left of it for whoever sends the answer.
pub(super) struct Rest(Option<oneshot::Receiver<Punctual>>);

impl Rest {
    /// Lends `body` to whoever answers.
    pub(super) fn of(head: &Parts, body: Punctual) -> (Body, Self) {
        // A client that expects a go-ahead has not sent its body and will not, once refused.
        if head.headers.contains_key(EXPECT) {
            return (Body::new(body), Self(None));
        }
        let (give_back, given_back) = oneshot::channel();
        (Body::new(Lent { body: Some(body), give_back: Some(give_back) }), Self(Some(given_back)))
    }

    /// Before a refusal is sent.
    pub(super) async fn take(self, status: StatusCode) {
        let refused = status.is_client_error() || status.is_server_error();
        if refused
            && let Some(mut given_back) = self.0
            && let Ok(body) = given_back.try_recv()
        {
            // Whatever comes of it: the answer is sent now.
            let _rest = tokio::time::timeout(AT_MOST, discard(body)).await;
        }
    }
}

async fn discard(mut body: Punctual) {
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
    /// None once it has gone back.
    body: Option<Punctual>,
    give_back: Option<oneshot::Sender<Punctual>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.give_back = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((give_back, body)) = self.give_back.take().zip(self.body.take()) {
            // A lender that is gone does not want it.
            let _gone = give_back.send(body);
        }
    }
}
