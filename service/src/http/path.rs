//! Reading parameters of the path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use saga_model::field::FieldCode;
use saga_model::ids::parse_uuid;
use uuid::Uuid;

use crate::problem::Problem;

/// The id that stands as `{id}` in the path of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_uuid("id", &path_text(parts, state, "id").await?).map(Self)
    }
}

/// A parameter of the path, by its name in the route, decoded.
///
/// # Errors
/// 400 if it is not UTF-8 once decoded or has a NUL character.
pub async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let wrong = |detail: &str| Problem::parameter(name, FieldCode::InvalidValue, detail);
    let parameters =
        RawPathParams::from_request_parts(parts, state).await.map_err(|_| wrong("the path is not UTF-8"))?;
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    let value = value.ok_or_else(|| Problem::internal(&format!("the route has no parameter {name}")))?;
    if value.contains('\0') { Err(wrong("the value has a NUL character")) } else { Ok(value) }
}

/// Reads an id from the path.
///
/// # Errors
/// 400 `INVALID_PARAMETER` naming `name`.
pub fn path_uuid(name: &str, text: &str) -> Result<Uuid, Problem> {
    parse_uuid(text).map_err(|error| Problem::parameter(name, FieldCode::InvalidUuid, error.to_string()))
}
