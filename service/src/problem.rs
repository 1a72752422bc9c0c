//! How a process refuses: RFC 9457, `application/problem+json`.
//!
//! A [`Problem`] is made where it is found and becomes a response as it is. The path it is about (`instance`) is
//! filled in at the edge ([`crate::http::edge`]), which also turns what a library refuses by itself into a problem.

mod code;
mod render;

use std::fmt;

use axum::http::StatusCode;
pub use saga_model::field::{FieldCode, FieldError};
use serde::Serialize;

use crate::http::{MAX_BODY_BYTES, MAX_URI_BYTES};

pub use code::Code;
pub use render::CONTENT_TYPE;
pub(crate) use render::of_refusal;

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Inner {
    code: Code,
    detail: String,
    instance: Option<String>,
    errors: Vec<Wrong>,
    /// Seconds; only with 503.
    retry_after: u32,
    allow: Option<String>,
}

/// One thing that is wrong with a request, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Wrong {
    #[serde(flatten)]
    place: Place,
    code: FieldCode,
    detail: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// In the body: a JSON Pointer.
    Pointer(String),
    /// In the path, the query or the headers: a name.
    Parameter(String),
}

impl Problem {
    /// A refusal; `detail` is a sentence for the person who sent the request.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            instance: None,
            errors: Vec::new(),
            retry_after: 1,
            allow: None,
        }))
    }

    /// A body with wrong fields, all of them: 422.
    pub fn validation(errors: impl IntoIterator<Item = FieldError>) -> Self {
        let mut problem = Self::new(Code::ValidationFailed, "");
        problem.0.errors.extend(errors.into_iter().map(|FieldError { pointer, code, detail }| Wrong {
            place: Place::Pointer(pointer),
            code,
            detail,
        }));
        problem.0.detail = count(problem.0.errors.len(), "field of the body is wrong", "fields of the body are wrong");
        problem
    }

    /// One wrong parameter (of path, query or header): 400.
    pub fn parameter(name: impl Into<String>, code: FieldCode, detail: impl Into<String>) -> Self {
        Self::parameters([(name.into(), code, detail.into())])
    }

    /// Wrong parameters, all of them: 400.
    pub fn parameters(wrong: impl IntoIterator<Item = (String, FieldCode, String)>) -> Self {
        let mut problem = Self::new(Code::InvalidParameter, "");
        problem.0.errors.extend(wrong.into_iter().map(|(name, code, detail)| Wrong {
            place: Place::Parameter(name),
            code,
            detail,
        }));
        problem.0.detail = count(problem.0.errors.len(), "parameter is wrong", "parameters are wrong");
        problem
    }

    /// An URI that is not looked at: 414.
    pub(crate) fn uri_too_long() -> Self {
        Self::new(Code::UriTooLong, format!("An URI has at most {MAX_URI_BYTES} bytes"))
    }

    /// A body that is not read: 413.
    pub(crate) fn body_too_large() -> Self {
        Self::new(Code::PayloadTooLarge, format!("A body has at most {MAX_BODY_BYTES} bytes"))
    }

    /// A mistake of ours: 500. What went wrong is logged, not told.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(error = %cause, "A request failed by a mistake of this process");
        Self::new(Code::InternalError, "The server made a mistake; its log says more")
    }

    /// When to try again, in seconds: for 503 (unless said, 1).
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = seconds;
        self
    }

    /// The methods that the path does have, as the header `Allow` lists them: for 405.
    pub fn allow(mut self, methods: impl Into<String>) -> Self {
        self.0.allow = Some(methods.into());
        self
    }

    /// The path that was asked for.
    pub fn instance(mut self, path: impl Into<String>) -> Self {
        self.0.instance = Some(path.into());
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether all that is wrong with the body stands inside the member at `pointer`.
    pub fn is_inside(&self, pointer: &str) -> bool {
        let inside = |place: &str| place.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'));
        let wrong_inside = |wrong: &Wrong| matches!(&wrong.place, Place::Pointer(place) if inside(place));
        !self.0.errors.is_empty() && self.0.errors.iter().all(wrong_inside)
    }

    /// The first wrong field or parameter: where, why and what to do.
    pub fn first_error(&self) -> Option<(&str, FieldCode, &str)> {
        self.0.errors.first().map(|wrong| match &wrong.place {
            Place::Pointer(place) | Place::Parameter(place) => (place.as_str(), wrong.code, wrong.detail.as_str()),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

fn count(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}
