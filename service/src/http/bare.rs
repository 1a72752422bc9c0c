//! The document of a refusal that hyper makes by itself.
//!
//! A head that cannot be read (malformed, too long, too many headers) never becomes a request: hyper answers it with
//! a bare status, before any code of ours is asked, and closes. This stands between it and the socket, knows such an
//! answer by its form, and puts the problem document into it. Then it takes what the client still sends, within
//! bounds, so that the answer is not lost to a reset ([`super::drain`] does the same for bodies).

mod document;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use self::document::{Came, documented};
use super::drain::{AT_MOST, AT_MOST_BYTES, SILENCE};

/// A connection whose bare refusals leave as problem documents.
pub(super) struct Documented {
    socket: TcpStream,
    /// What has come since the last answer.
    came: Came,
    /// Once refused, nothing but this is written.
    refusal: Option<Refusal>,
}

struct Refusal {
    /// What is left to be written.
    answer: Bytes,
    /// What still comes is taken, once the answer is out.
    taking: Option<Taking>,
}

struct Taking {
    until: Instant,
    silence: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Documented {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, came: Came::default(), refusal: None }
    }

    /// Whether `answer` is a bare refusal, which is then kept and written with its document.
    fn takes(&mut self, answer: &[u8]) -> bool {
        let came = std::mem::take(&mut self.came);
        if let Some(answer) = documented(answer, came) {
            self.refusal = Some(Refusal { answer: answer.into(), taking: None });
        }
        self.refusal.is_some()
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Refusal { answer, .. }) = &mut self.refusal else { return Poll::Ready(Ok(())) };
        while !answer.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, answer))?;
            answer.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what still comes after a refusal.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Refusal { taking, .. }) = &mut self.refusal else { return Poll::Ready(()) };
        let taking = taking.get_or_insert_with(|| Taking {
            until: Instant::now() + AT_MOST,
            silence: Box::pin(tokio::time::sleep(SILENCE)),
            bytes: 0,
        });
        let mut space = [0; 4096];
        while taking.bytes < AT_MOST_BYTES && taking.silence.as_mut().poll(cx).is_pending() {
            let mut space = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut space)) {
                Ok(()) if !space.filled().is_empty() => taking.bytes += space.filled().len(),
                Ok(()) | Err(_) => break, // the client has done the same
            }
            taking.silence.as_mut().reset(taking.until.min(Instant::now() + SILENCE));
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Documented {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buf));
        self.came.note(&buf.filled()[before..]);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Documented {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes(buf) { Poll::Ready(Ok(buf.len())) } else { Pin::new(&mut self.socket).poll_write(cx, buf) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A bare answer is one piece.
        match bufs {
            [only] => self.poll_write(cx, only),
            _ => {
                self.came = Came::default();
                Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        self.poll_rest(cx).map(Ok)
    }
}
