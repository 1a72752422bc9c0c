//! A problem as a response.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE as CONTENT_TYPE_HEADER, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{Code, Problem, Wrong};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: Code,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'a [Wrong],
}

impl Problem {
    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            r#type: self.0.code.type_uri(),
            title: self.0.code.title(),
            status: self.status().as_u16(),
            code: self.0.code,
            detail: &self.0.detail,
            instance: self.0.instance.as_deref(),
            errors: &self.0.errors,
        };
        // It is made of strings and numbers alone, which always can be written.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Makes `response` this problem: status, body and the headers that belong to it; others stay.
    pub(crate) fn write_to(self, response: &mut Response) {
        *response.status_mut() = self.status();
        *response.body_mut() = Body::from(self.to_json());
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
        match self.status() {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from(self.0.retry_after));
            }
            _ => {} // the other statuses have no header of their own
        }
        if let Some(allow) = self.0.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        // For those who are around: the edge fills in the path, the audit notes the code.
        response.extensions_mut().insert(self);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        self.write_to(&mut response);
        response
    }
}

/// The problem that a response is: the one that a handler made, or the one that says what a library refused in
/// plain text by itself. `None` if it is no refusal, or one with a document of its own (as `/readyz` has).
pub(crate) fn of_refusal(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    (refused && !has_document(response.headers())).then(|| of_status(status))
}

fn has_document(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE_HEADER).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| !kind.starts_with(b"text/plain"))
}

fn of_status(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::UNAUTHORIZED => (Code::Unauthenticated, "A key is needed"),
        StatusCode::FORBIDDEN => (Code::Forbidden, "The key may not do this"),
        StatusCode::NOT_FOUND => (Code::NotFound, "Look at the path: nothing answers there"),
        StatusCode::METHOD_NOT_ALLOWED => (Code::MethodNotAllowed, "The header Allow lists the methods of this path"),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::PayloadTooLarge, "Send less"),
        StatusCode::URI_TOO_LONG => (Code::UriTooLong, "Ask for less in one request"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (Code::UnsupportedMediaType, "Send application/json"),
        StatusCode::UNPROCESSABLE_ENTITY => (Code::ValidationFailed, "The body is not what this takes"),
        StatusCode::SERVICE_UNAVAILABLE => (Code::Unavailable, "Try again later"),
        status if status.is_client_error() => (Code::InvalidParameter, "The request cannot be read"),
        _ => (Code::InternalError, "The server made a mistake; its log says more"),
    };
    Problem::new(code, detail)
}
