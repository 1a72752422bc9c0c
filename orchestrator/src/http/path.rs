//! Names in the path of a route.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use service::http::path_text;
use service::problem::Problem;

/// The text that stands as `{name}` in the path: the name of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_text(parts, state, "name").await.map(Self)
    }
}

/// The name of a definition where a path of the same form has an id, and a route only one word for both: `/sagas/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAsId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for NameAsId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_text(parts, state, "id").await.map(Self)
    }
}
