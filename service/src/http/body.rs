//! Reading a body: plain JSON of a bounded size, or a refusal that says which of it was wrong.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use saga_model::json::{self, Json, JsonError};

use super::late::problem_in;
use crate::problem::{Code, Problem};

/// The largest body that is read.
pub const MAX_BODY_BYTES: usize = 65_536;

/// The bytes of a body that was sent as JSON: at most [`MAX_BODY_BYTES`], not parsed.
///
/// Refused are another or no `Content-Type`, another charset than UTF-8 and any `Content-Encoding` (415), and a
/// larger body, chunked or not (413); one that does not arrive within 30 s (400), or not within 2 s while the process
/// ends (503).
#[derive(Debug, Clone)]
pub struct JsonBody(pub Bytes);

impl JsonBody {
    /// The JSON in it, strictly read.
    ///
    /// # Errors
    /// 400 `MALFORMED_JSON`.
    pub fn parse(&self) -> Result<Json<'_>, Problem> {
        parse_json(&self.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        must_be_json(request.headers())?;
        let said: Option<u64> = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
        if said.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
            return Err(Problem::body_too_large());
        }
        read(request.into_body()).await.map(Self)
    }
}

/// Reads JSON strictly: one value, UTF-8, nesting of at most 32.
///
/// # Errors
/// 400 `MALFORMED_JSON`, with what is wrong and where.
pub fn parse_json(bytes: &[u8]) -> Result<Json<'_>, Problem> {
    json::parse(bytes).map_err(|error| match error {
        JsonError::Malformed(_) | JsonError::TooDeep(_) => Problem::new(Code::MalformedJson, error.to_string()),
    })
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::body_too_large()),
        Err(error) => Err(problem_in(&*error)
            .unwrap_or_else(|| Problem::new(Code::MalformedJson, format!("the body broke off: {error}")))),
    }
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let wrong = |detail: &str| Err(Problem::new(Code::UnsupportedMediaType, detail));
    if headers.contains_key(CONTENT_ENCODING) {
        return wrong("Send the body as it is, without Content-Encoding");
    }
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) if is_json(kind) => Ok(()),
        (Some(_), _) => wrong("Send Content-Type: application/json, in UTF-8"),
        (None, _) => wrong("Content-Type is missing: send application/json"),
    }
}

/// Whether a `Content-Type` is JSON, in UTF-8 if it names a charset. Other parameters mean nothing for JSON.
fn is_json(kind: &HeaderValue) -> bool {
    let Ok(kind) = kind.to_str() else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim_end().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) | None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; charset=utf-8; profile=x", true),
            ("application/json;", true),
            ("application/json; charset=latin1", false),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=", false),
            ("application/problem+json", false),
            ("application/jsonp", false),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(kind)), json, "{kind}");
        }
        assert!(!is_json(&HeaderValue::from_bytes(b"application/json\xff").unwrap()));
    }
}
