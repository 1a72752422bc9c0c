//! Reading the fields of a message: a wrong type anywhere comes before a missing field.

use super::{DeadLetterCode, MAX_MESSAGE_BYTES, Unreadable};
use crate::ids::SagaId;
use crate::json::{self, Json};
use crate::state::Kind;

/// A message that is one JSON object without duplicate keys.
pub(super) struct Fields<'a> {
    json: Json<'a>,
    missing: Option<&'static str>,
}

/// How much of a message is read.
pub(super) struct Limits {
    /// Bytes that are not counted against [`MAX_MESSAGE_BYTES`].
    pub(super) uncounted: usize,
    /// Levels of nesting.
    pub(super) depth: usize,
    /// A member that, whatever its type, may have so many bytes.
    pub(super) member: Option<(&'static str, usize)>,
}

impl<'a> Fields<'a> {
    /// Reads a message within `limits`.
    pub(super) fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, Unreadable> {
        use DeadLetterCode::{NotJson, TooLarge, WrongType};
        let counted = bytes.len() - limits.uncounted;
        if counted > MAX_MESSAGE_BYTES {
            return Err(Unreadable::new(TooLarge, format!("{counted} bytes; at most {MAX_MESSAGE_BYTES} are read")));
        }
        let json =
            json::parse_within(bytes, limits.depth).map_err(|error| Unreadable::new(NotJson, error.to_string()))?;
        let Some(members) = json.as_object() else {
            return Err(Unreadable::new(WrongType, "the message is not a JSON object"));
        };
        for (key, value) in members {
            if let Some((name, most)) =
                limits.member.filter(|(name, most)| key == name && value.raw.get().len() > *most)
            {
                let detail = format!("{name} has {} bytes; at most {most} are read", value.raw.get().len());
                return Err(Unreadable::new(TooLarge, detail));
            }
        }
        if let Some(pointer) = json.duplicate_keys().into_iter().next() {
            return Err(Unreadable::new(WrongType, format!("the key at {pointer} stands twice")));
        }
        Ok(Self { json, missing: None })
    }

    /// The first field that was required and not there, if any.
    pub(super) fn finish(self) -> Result<(), Unreadable> {
        match self.missing {
            Some(name) => Err(Unreadable::new(DeadLetterCode::MissingField, format!("{name} is missing"))),
            None => Ok(()),
        }
    }

    pub(super) fn optional<T>(
        &self,
        name: &str,
        what: &str,
        read: impl FnOnce(&Json<'a>) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        let wrong = || Unreadable::new(DeadLetterCode::WrongType, format!("{name} is not {what}"));
        self.json.get(name).map(|json| read(json).ok_or_else(wrong)).transpose()
    }

    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl FnOnce(&Json<'a>) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        let found = self.optional(name, what, read)?;
        if found.is_none() {
            self.missing = self.missing.or(Some(name));
        }
        Ok(found)
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Unreadable> {
        self.required(name, "a string", |json| json.as_str().map(str::to_owned))
    }

    pub(super) fn saga_id(&mut self) -> Result<Option<SagaId>, Unreadable> {
        self.required("sagaId", "a UUID", |json| json.as_str()?.parse().ok())
    }

    pub(super) fn kind(&mut self) -> Result<Option<Kind>, Unreadable> {
        self.required("kind", "ACTION or COMPENSATE", |json| kind(json.as_str()?))
    }

    /// A whole number from 1 to 2^31-1.
    pub(super) fn count(&mut self, name: &'static str) -> Result<Option<u32>, Unreadable> {
        self.required(name, "a whole number from 1 to 2147483647", |json| {
            let text = json.as_number()?;
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).and_then(count)
        })
    }
}

/// The kind of that name.
pub(super) fn kind(word: &str) -> Option<Kind> {
    [Kind::Action, Kind::Compensate].into_iter().find(|kind| kind.as_str() == word)
}

/// A round or an attempt, if it is one.
pub(super) fn count(n: u32) -> Option<u32> {
    (1..=0x7fff_ffff).contains(&n).then_some(n)
}
