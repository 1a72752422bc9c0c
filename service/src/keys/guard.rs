//! The door: who may come to which route.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;

use super::{ApiKeys, Scope};
use crate::problem::Problem;

/// Routes of every process that need no key and know none.
pub fn is_keyless(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics" | "/openapi.json" | "/asyncapi.json")
}

/// Who is let in.
#[derive(Clone, Debug)]
pub struct Door {
    pub keys: Arc<ApiKeys>,
    /// Names the paths that are left alone.
    pub keyless: fn(&str) -> bool,
}

/// Puts a guard before all of `routes`, unknown ones included: it finds the [`Caller`](super::Caller), which
/// handlers may ask for, and refuses one that lacks the scope of the route. `keyless` names the paths it leaves alone.
///
/// What must also see refused requests (the audit) is layered around this.
pub fn guard(routes: Router, keys: Arc<ApiKeys>, keyless: fn(&str) -> bool) -> Router {
    let door = Door { keys, keyless };
    routes.layer(from_fn(move |request: Request, next: Next| {
        let request = door.admit(request);
        async move {
            match request {
                Ok(request) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
    }))
}

impl Door {
    pub(crate) fn admit(&self, mut request: Request) -> Result<Request, Problem> {
        if !(self.keyless)(request.uri().path()) {
            let caller = self.keys.authenticate(request.headers())?;
            if let Some(scope) = scope_of(request.method(), request.uri().path()) {
                caller.require(scope)?;
            }
            request.extensions_mut().insert(caller);
        }
        Ok(request)
    }
}

/// The scope that a request needs. Methods that no route has need none: they are refused for what they are.
fn scope_of(method: &Method, path: &str) -> Option<Scope> {
    let admin = path.strip_prefix("/admin").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match *method {
        _ if admin => Some(Scope::Admin),
        Method::GET | Method::HEAD => Some(Scope::Read),
        Method::POST | Method::PUT => Some(Scope::Submit),
        _ => None, // PATCH, DELETE, OPTIONS and whatever else a client may think of
    }
}
