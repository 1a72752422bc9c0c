//! Which answers are bare, and the document that belongs to each.

use axum::http::StatusCode;

use crate::http::edge::MAX_URI_BYTES;
use crate::http::serve::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::problem::{CONTENT_TYPE, Code, Problem};

/// hyper says 431 for whatever is too large in a head. What it was can be told from what came, unless the head came
/// before the last answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Came {
    bytes: usize,
    lines: usize,
    /// Bytes of the first line, so far.
    first_line: usize,
}

impl Came {
    pub(super) fn note(&mut self, bytes: &[u8]) {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if let (0, Some(first)) = (self.lines, lines.next()) {
            self.first_line += first.len();
        }
        self.bytes += bytes.len();
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
    }

    /// Then what is too large in it is the length that it says its body has.
    fn is_a_small_head(self) -> bool {
        self.lines <= MAX_HEADERS && (1..=MAX_HEAD_BYTES).contains(&self.bytes)
    }
}

/// The answer with its document, if it is a refusal that has none. Those of our own all have a `Content-Type`.
pub(super) fn documented(answer: &[u8], came: Came) -> Option<Vec<u8>> {
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
    let problem = problem(status, came).instance("*");
    let (status, document) = (problem.status(), problem.to_json());
    let described = format!("\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n", document.len());
    let mut whole = format!("HTTP/1.1 {status}{}\r\n", headers.replace(EMPTY, &described)).into_bytes();
    whole.extend(document);
    Some(whole)
}

fn problem(status: StatusCode, came: Came) -> Problem {
    match status {
        StatusCode::URI_TOO_LONG => Problem::uri_too_long(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if came.first_line > MAX_URI_BYTES => Problem::uri_too_long(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if came.is_a_small_head() => Problem::body_too_large(),
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
        let whole = String::from_utf8(documented(bare.as_bytes(), Came::default()).unwrap()).unwrap();
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
            assert_eq!(documented(other.as_bytes(), Came::default()), None, "{other}");
        }
    }
}
