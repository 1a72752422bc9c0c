//! The list of keys, as `SAGA_API_KEYS` writes it: `name:secret:scope+scope,…`.

use std::str::FromStr;

use super::scope::{InvalidScopes, Scopes};
use crate::settings::Secret;

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) secret: Secret,
    pub(super) scopes: Scopes,
}

/// Keys, no two of one name or one secret.
#[derive(Clone, Debug, Default)]
pub struct KeyList(Vec<Key>);

/// The text is no list of keys. No message repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    #[error("key number {0}: write name:secret:scope+scope, several keys with commas")]
    Form(usize),
    #[error("key number {0}: a name is made of visible characters without a comma or a colon, and is not {anonymous}",
        anonymous = KeyList::ANONYMOUS)]
    Name(usize),
    #[error("key {0}: a secret is made of visible ASCII characters without a comma or a colon")]
    Secret(String),
    #[error("key {0}: {1}")]
    Scopes(String, InvalidScopes),
    #[error("two keys are named {0}")]
    SameName(String),
    #[error("key {0} has the secret of another key")]
    SameSecret(String),
}

impl KeyList {
    /// What callers without a key are called: no key may have this name.
    pub(super) const ANONYMOUS: &'static str = "anonymous";

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    pub(super) fn add(&mut self, name: &str, secret: Secret, scopes: Scopes) -> Result<(), InvalidKeys> {
        let separator = |c: char| matches!(c, ',' | ':');
        let visible = |c: char| !c.is_whitespace() && !c.is_control() && !separator(c);
        if name.is_empty() || name == Self::ANONYMOUS || !name.chars().all(visible) {
            return Err(InvalidKeys::Name(self.0.len() + 1));
        }
        let sendable = |c: char| c.is_ascii_graphic() && !separator(c);
        if secret.expose().is_empty() || !secret.expose().chars().all(sendable) {
            return Err(InvalidKeys::Secret(name.to_owned()));
        }
        if self.0.iter().any(|key| key.name == name) {
            return Err(InvalidKeys::SameName(name.to_owned()));
        }
        if self.0.iter().any(|key| key.secret == secret) {
            return Err(InvalidKeys::SameSecret(name.to_owned()));
        }
        self.0.push(Key { name: name.to_owned(), secret, scopes });
        Ok(())
    }
}

impl FromStr for KeyList {
    type Err = InvalidKeys;
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let mut keys = Self::default();
        for (index, key) in text.split(',').enumerate() {
            let mut parts = key.trim().split(':');
            let (Some(name), Some(secret), Some(scopes), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(InvalidKeys::Form(index + 1));
            };
            let scopes = Scopes::parse(scopes, '+').map_err(|error| InvalidKeys::Scopes(name.to_owned(), error))?;
            keys.add(name, Secret::new(secret), scopes)?;
        }
        Ok(keys)
    }
}
