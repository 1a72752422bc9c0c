//! Scopes: what a key may do.

use std::fmt;
use std::str::FromStr;

/// What a request needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Start orders and sagas.
    Submit,
    /// Every GET outside `/admin`.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Submit, Self::Read, Self::Admin];

    fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scopes {
    submit: bool,
    read: bool,
    admin: bool,
}

/// The text is no list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScopes {
    #[error("{0:?} is no scope: write submit, read or admin")]
    Unknown(String),
    #[error("{0:?} is no scope: write submit, read, both with a comma between, or nothing")]
    UnknownOpen(String),
    #[error("admin is never open: give a key the scope admin instead")]
    AdminIsOpen,
}

impl Scopes {
    pub const NONE: Self = Self { submit: false, read: false, admin: false };
    /// All that there is.
    pub const ADMIN: Self = Self { submit: true, read: true, admin: true };

    /// Reads names with `separator` between them; at least one.
    pub(super) fn parse(text: &str, separator: char) -> Result<Self, InvalidScopes> {
        text.split(separator).try_fold(Self::NONE, |scopes, name| {
            let scope = Scope::from_name(name.trim()).ok_or_else(|| InvalidScopes::Unknown(name.to_owned()))?;
            Ok(scopes.with(scope))
        })
    }

    /// These and `scope`; with `admin` come all.
    pub fn with(self, scope: Scope) -> Self {
        match scope {
            Scope::Submit => Self { submit: true, ..self },
            Scope::Read => Self { read: true, ..self },
            Scope::Admin => Self::ADMIN,
        }
    }

    /// Those of either.
    pub fn and(self, other: Self) -> Self {
        Self { submit: self.submit || other.submit, read: self.read || other.read, admin: self.admin || other.admin }
    }

    pub fn contains(self, scope: Scope) -> bool {
        match scope {
            Scope::Submit => self.submit,
            Scope::Read => self.read,
            Scope::Admin => self.admin,
        }
    }
}

/// The scopes that need no key; `admin` is never among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenScopes(Scopes);

impl OpenScopes {
    pub fn scopes(self) -> Scopes {
        self.0
    }
}

impl FromStr for OpenScopes {
    type Err = InvalidScopes;
    fn from_str(text: &str) -> Result<Self, InvalidScopes> {
        if text.trim().is_empty() {
            return Ok(Self(Scopes::NONE));
        }
        match Scopes::parse(text, ',') {
            Ok(scopes) if scopes.contains(Scope::Admin) => Err(InvalidScopes::AdminIsOpen),
            Ok(scopes) => Ok(Self(scopes)),
            Err(InvalidScopes::Unknown(name)) => Err(InvalidScopes::UnknownOpen(name)),
            Err(error @ (InvalidScopes::UnknownOpen(_) | InvalidScopes::AdminIsOpen)) => Err(error),
        }
    }
}
