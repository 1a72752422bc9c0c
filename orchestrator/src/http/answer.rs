//! Answers: compact JSON, and the few headers that go with it.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use service::problem::Problem;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An order fits into so much.
const USUAL_BYTES: usize = 640;

/// An answer with a JSON body.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// `body` as JSON.
    ///
    /// # Errors
    /// 500 if it cannot be written, which is our mistake.
    pub fn of(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut text, body).map_err(|error| Problem::internal(&error))?;
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self(response))
    }

    /// Where what was made can be read.
    ///
    /// # Errors
    /// 500 if that is no path, which is our mistake.
    pub fn location(mut self, path: String) -> Result<Self, Problem> {
        let path = HeaderValue::try_from(path).map_err(|error| Problem::internal(&error))?;
        self.0.headers_mut().insert(LOCATION, path);
        Ok(self)
    }

    /// Says so if an earlier request with the same key was answered again.
    #[must_use]
    pub fn replayed(mut self, replayed: bool) -> Self {
        if replayed {
            self.0.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        self
    }

    /// The revision of the saga in the body, in the form that `If-Match` takes.
    ///
    /// # Errors
    /// 500 if it is no header, which a number always is.
    pub fn revision(mut self, revision: u32) -> Result<Self, Problem> {
        let tag = HeaderValue::try_from(format!("\"{revision}\"")).map_err(|error| Problem::internal(&error))?;
        self.0.headers_mut().insert(ETAG, tag);
        Ok(self)
    }

    /// The response.
    pub fn done(self) -> Response {
        self.0
    }
}
