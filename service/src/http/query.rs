//! Reading a query: only parameters that are known, each once, each of its type; all that is wrong is said at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use saga_model::field::FieldCode;
use saga_model::ids::parse_uuid;
use uuid::Uuid;

use crate::problem::Problem;

/// The parameters of one request. Take each that the route knows, then [`finish`](Query::finish):
///
/// ```
/// # use service::http::Query;
/// let mut query = Query::of(&"/orders?userId=11111111-1111-1111-1111-111111111111&size=5".parse().unwrap());
/// let user = query.required_uuid("userId");
/// let size = query.number("size", 1..=100);
/// let (user, size) = query.finish(|| Some((user?, size.unwrap_or(10)))).unwrap();
/// assert_eq!(size, 5);
/// ```
#[derive(Debug)]
pub struct Query {
    /// What was sent and not yet taken; `None` for a value that is not UTF-8 once decoded.
    sent: BTreeMap<String, Vec<Option<String>>>,
    wrong: Vec<(String, FieldCode, String)>,
}

impl Query {
    /// The query of a request.
    pub fn of(uri: &Uri) -> Self {
        let mut sent = BTreeMap::<_, Vec<_>>::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).unwrap_or_else(|| name.to_owned());
            sent.entry(name).or_default().push(decode(value));
        }
        Self { sent, wrong: Vec::new() }
    }

    /// A parameter that may be there once, read by `read`.
    pub fn optional<T, E: Display>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        self.optional_as(name, FieldCode::InvalidValue, read)
    }

    /// A parameter that must be there once. `None` is noted as wrong, see [`finish`](Self::finish).
    pub fn required<T, E: Display>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        self.demand(name);
        self.optional(name, read)
    }

    /// A parameter that may be there several times.
    pub fn repeated<T, E: Display>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let values = self.sent.remove(name).unwrap_or_default();
        values.into_iter().filter_map(|value| self.read(name, value, FieldCode::InvalidValue, &read)).collect()
    }

    /// An id, in any case.
    pub fn uuid(&mut self, name: &str) -> Option<Uuid> {
        self.optional_as(name, FieldCode::InvalidUuid, parse_uuid)
    }

    /// An id that must be there.
    pub fn required_uuid(&mut self, name: &str) -> Option<Uuid> {
        self.demand(name);
        self.uuid(name)
    }

    /// A whole number in a range, in digits alone.
    pub fn number<T>(&mut self, name: &str, range: std::ops::RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.optional(name, |text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|n| digits && range.contains(n));
            number.ok_or_else(|| format!("write a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// Text that is not empty.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.optional(
            name,
            |text| if text.is_empty() { Err("write something, or leave it out") } else { Ok(text.to_owned()) },
        )
    }

    /// Notes what else is wrong with a parameter (two that do not go together).
    pub fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.wrong.push((name.to_owned(), FieldCode::InvalidValue, detail.into()));
    }

    /// Ends the reading: what was taken, put together by `make`, unless something was wrong. `make` gives `None`
    /// only where a required parameter is none, which was noted.
    ///
    /// # Errors
    /// 400 `INVALID_PARAMETER` with every unknown, repeated, missing and malformed parameter.
    pub fn finish<T>(mut self, make: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        for name in std::mem::take(&mut self.sent).into_keys() {
            self.wrong.push((name, FieldCode::UnknownField, "this route does not know the parameter".to_owned()));
        }
        if !self.wrong.is_empty() {
            return Err(Problem::parameters(self.wrong));
        }
        make().ok_or_else(|| Problem::internal(&"a required parameter is missing and was not noted"))
    }

    fn demand(&mut self, name: &str) {
        if !self.sent.contains_key(name) {
            self.wrong.push((name.to_owned(), FieldCode::Required, "the parameter is missing".to_owned()));
        }
    }

    fn optional_as<T, E: Display>(
        &mut self,
        name: &str,
        code: FieldCode,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let mut values = self.sent.remove(name)?;
        if values.len() > 1 {
            let detail = "the parameter may be there once".to_owned();
            self.wrong.push((name.to_owned(), FieldCode::DuplicateKey, detail));
            return None;
        }
        self.read(name, values.pop()?, code, &read)
    }

    fn read<T, E: Display>(
        &mut self,
        name: &str,
        value: Option<String>,
        code: FieldCode,
        read: &impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let read = match value {
            None => Err((FieldCode::InvalidValue, "the value is not UTF-8".to_owned())),
            Some(value) if value.contains('\0') => {
                Err((FieldCode::InvalidValue, "the value has a NUL character".to_owned()))
            }
            Some(value) => read(&value).map_err(|error| (code, error.to_string())),
        };
        read.map_err(|(code, detail)| self.wrong.push((name.to_owned(), code, detail))).ok()
    }
}

/// Refuses every parameter, for a route that has none.
///
/// # Errors
/// 400 `INVALID_PARAMETER`.
pub fn no_query(uri: &Uri) -> Result<(), Problem> {
    Query::of(uri).finish(|| Some(()))
}

/// `None` if the bytes are not UTF-8.
fn decode(text: &str) -> Option<String> {
    // A plus is a space, as forms have it; a literal plus comes as %2B.
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;
