//! Who may do what: keys, their scopes, and what is open to everybody.
//!
//! A key is sent as `Authorization: Bearer <secret>`. Without one, a caller has the open scopes; with one, its
//! scopes as well. A key that is sent and unknown is refused (401) on every route but the keyless ones, even
//! where no key is needed: somebody who means to be known should hear that they are not.

mod guard;
mod list;
mod scope;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use saga_model::field::FieldCode;
use subtle::ConstantTimeEq;

use crate::problem::{Code, Problem};
use crate::settings::Secret;

pub use guard::{Door, guard, is_keyless};
pub use list::{InvalidKeys, KeyList};
pub use scope::{InvalidScopes, OpenScopes, Scope, Scopes};

/// The keys that this process knows, and the scopes that need none.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    keys: KeyList,
    open: OpenScopes,
}

/// Somebody who calls: a key that is known, or no key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    name: Option<String>,
    scopes: Scopes,
}

impl ApiKeys {
    pub fn new(keys: KeyList, open: OpenScopes) -> Self {
        Self { keys, open }
    }

    /// Adds a key that no setting holds.
    ///
    /// # Errors
    /// If its name or its secret is in use, or is no name or secret.
    pub fn add(&mut self, name: &str, secret: Secret, scopes: Scopes) -> Result<(), InvalidKeys> {
        self.keys.add(name, secret, scopes)
    }

    /// Whether a scope needs no key.
    pub fn is_open(&self, scope: Scope) -> bool {
        self.open.scopes().contains(scope)
    }

    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// 401 if a key was sent that is not known; 400 if two were.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(Caller { name: None, scopes: self.open.scopes() }),
            (Some(header), None) => self.known(header),
            (Some(_), Some(_)) => Err(Problem::parameter(
                "Authorization",
                FieldCode::DuplicateKey,
                "Send one Authorization header, not several",
            )),
        }
    }

    fn known(&self, header: &HeaderValue) -> Result<Caller, Problem> {
        let sent = bearer(header).unwrap_or_default();
        // All keys are compared, and each in constant time, so that the time of an answer says nothing about them.
        let mut found = None;
        for key in self.keys.iter() {
            if bool::from(key.secret.expose().as_bytes().ct_eq(sent)) {
                found = Some(key);
            }
        }
        let key = found.ok_or_else(|| Problem::new(Code::Unauthenticated, "The key that was sent is not known"))?;
        Ok(Caller { name: Some(key.name.clone()), scopes: key.scopes.and(self.open.scopes()) })
    }
}

/// The secret in a header `Bearer <secret>`.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, secret) = header.as_bytes().split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| secret.trim_ascii())
}

impl Caller {
    /// The name of its key; none without a key.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What history and audit call it: `key:<name>`.
    pub fn actor(&self) -> String {
        format!("key:{}", self.name().unwrap_or(KeyList::ANONYMOUS))
    }

    /// Whether it may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Refuses a caller that may not do what needs `scope`.
    ///
    /// # Errors
    /// 401 without a key, 403 with one.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        match (self.may(scope), &self.name) {
            (true, _) => Ok(()),
            (false, None) => Err(Problem::new(
                Code::Unauthenticated,
                format!("This needs a key with the scope {scope}: send Authorization: Bearer and its secret"),
            )),
            (false, Some(name)) => {
                Err(Problem::new(Code::Forbidden, format!("The key {name} does not have the scope {scope}")))
            }
        }
    }
}

/// The caller that [`guard`] let in.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        // A route that asks who calls and is not guarded is our mistake: nobody gets in by it.
        caller.ok_or_else(|| Problem::internal(&"this route asks for its caller and is not guarded"))
    }
}

#[cfg(test)]
mod tests;
