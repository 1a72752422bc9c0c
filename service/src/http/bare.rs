//! The document of a refusal that hyper makes by itself.
//!
//! A head that cannot be read (malformed, too long, too many headers) never becomes a request: hyper answers it with
//! a bare status, before any code of ours is asked, and closes. This stands between it and the socket, knows such an
//! answer by its form, and puts the problem document into it. Then it takes what the client still sends, within
//! bounds, so that the answer is not lost to a reset ([`super::drain`] does the same for bodies).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::drain::{AT_MOST, AT_MOST_BYTES, SILENCE};
use super::edge::MAX_URI_BYTES;
use super::serve::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::problem::{CONTENT_TYPE, Code, Problem};

/// A connection whose bare refusals leave as problem documents.
pub(super) struct Documented {
    socket: TcpStream,
    /// How long the first line since the last answer is, so far, and whether it has come to its end: hyper says 431 of
    /// a head that is too long, and does not say whether that is its URI.
    first_line: usize,
    line_came: bool,
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
        Self { socket, first_line: 0, line_came: false, refusal: None }
    }

    fn forget_line(&mut self) -> usize {
        self.line_came = false;
        std::mem::take(&mut self.first_line)
    }

    /// Whether `answer` is a bare refusal, which is then kept and written with its document.
    fn takes(&mut self, answer: &[u8]) -> bool {
        let first_line = self.forget_line();
        if let Some(answer) = documented(answer, first_line) {
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
        if !self.line_came {
            let came = &buf.filled()[before..];
            let end = came.iter().position(|byte| *byte == b'\n');
            self.line_came = end.is_some();
            self.first_line += end.unwrap_or(came.len());
        }
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
                self.forget_line();
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

/// The answer with its document, if it is a refusal that has none. Those of our own all have a `Content-Type`.
fn documented(answer: &[u8], first_line: usize) -> Option<Vec<u8>> {
    const EMPTY: &str = "\r\ncontent-length: 0\r\n";
    if !answer.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let head = std::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    let (line, headers) = head.split_once("\r\n")?;
    let headers = format!("\r\n{headers}\r\n");
    if headers.contains("\r\n\r\n") || headers.contains("\r\ncontent-type:") || !headers.contains(EMPTY) {
        return None;
    }
    let status = StatusCode::from_bytes(line.get(9..12)?.as_bytes()).ok()?;
    // Which path it was about cannot be known; `*` is how HTTP says "the server as a whole".
    let problem = problem(status, first_line).instance("*");
    let (status, document) = (problem.status(), problem.to_json());
    let described = format!("\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n", document.len());
    let mut whole = format!("HTTP/1.1 {status}{}\r\n", headers.replace(EMPTY, &described)).into_bytes();
    whole.extend(document);
    Some(whole)
}

fn problem(status: StatusCode, first_line: usize) -> Problem {
    match status {
        StatusCode::URI_TOO_LONG => Problem::uri_too_long(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if first_line > MAX_URI_BYTES => Problem::uri_too_long(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail =
                format!("A request has at most {MAX_HEADERS} headers, and {MAX_HEAD_BYTES} bytes before its body");
            Problem::new(Code::HeadersTooLarge, detail)
        }
        _ => {
            Problem::new(Code::InvalidParameter, "The request cannot be read: its first line or a header is malformed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_get_a_document() {
        let bare = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let whole = String::from_utf8(documented(bare.as_bytes(), 0).unwrap()).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let length = body.len();
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
                 content-length: {length}\r\ndate: now"
            )
        );
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nmore\r\n\r\n",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(documented(other.as_bytes(), 0), None, "{other}");
        }
    }
}
