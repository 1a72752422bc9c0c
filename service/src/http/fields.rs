//! Reading the members of a request's body: every wrong one at once.

use std::collections::BTreeSet;

use saga_model::field::{FieldCode, FieldError, note_nul};
use saga_model::json::{self, Json, RawJson, pointer_token};

use crate::problem::Problem;

/// The members of a body that is one JSON object. Take each that the route knows, then
/// [`finish`](Fields::finish).
#[derive(Debug)]
pub struct Fields<'j> {
    json: &'j Json<'j>,
    errors: Vec<FieldError>,
}

/// The most characters of a name that a caller gives.
const MAX_NAME: usize = 255;

impl<'j> Fields<'j> {
    /// Begins to read a body of which only the members `known` may be there.
    ///
    /// # Errors
    /// 422 `WRONG_TYPE` at `""` for a body that is no object.
    pub fn of(json: &'j Json<'j>, known: &[&str]) -> Result<Self, Problem> {
        let Some(members) = json.as_object() else {
            let wrong = FieldError::new("", FieldCode::WrongType, "the body is a JSON object");
            return Err(Problem::validation([wrong]));
        };
        let mut fields = Self { json, errors: Vec::new() };
        let mut strange = BTreeSet::new();
        for (key, _) in members {
            if known.contains(&key.as_ref()) || !strange.insert(key) {
                continue; // that a key stands twice is told in the end
            }
            if key.contains('\0') {
                fields.wrong(key, FieldCode::InvalidValue, "a name may not contain NUL");
            } else {
                let detail = format!("there is no such field; the body has {}", known.join(", "));
                fields.wrong(key, FieldCode::UnknownField, detail);
            }
        }
        Ok(fields)
    }

    /// Notes that a member is wrong.
    pub fn wrong(&mut self, name: &str, code: FieldCode, detail: impl Into<String>) {
        self.errors.push(FieldError::new(format!("/{}", pointer_token(name)), code, detail));
    }

    /// A member as it stands, if it is there.
    pub fn optional(&self, name: &str) -> Option<&'j Json<'j>> {
        self.json.get(name)
    }

    /// A member that must be there; on `None` it is noted as missing.
    pub fn required(&mut self, name: &str) -> Option<&'j Json<'j>> {
        let found = self.optional(name);
        if found.is_none() {
            self.wrong(name, FieldCode::Required, "this field is required");
        }
        found
    }

    /// A text of 1 to 255 characters, if it is there.
    pub fn name(&mut self, name: &str) -> Option<&'j str> {
        let text = self.optional(name)?;
        self.name_in(name, text)
    }

    /// A text of 1 to 255 characters that must be there.
    pub fn required_name(&mut self, name: &str) -> Option<&'j str> {
        let text = self.required(name)?;
        self.name_in(name, text)
    }

    fn name_in(&mut self, name: &str, json: &'j Json<'j>) -> Option<&'j str> {
        match sound_text(json, MAX_NAME, "write at most 255 characters") {
            Ok(text) => Some(text),
            Err((code, detail)) => {
                self.wrong(name, code, detail);
                None
            }
        }
    }

    /// Why an operator does something, which must be there.
    pub fn reason(&mut self) -> Option<&'j str> {
        let json = self.required("reason")?;
        match reason(json) {
            Ok(reason) => Some(reason),
            Err((code, detail)) => {
                self.wrong("reason", code, detail);
                None
            }
        }
    }

    /// What `read` makes of a member, given where it stands; on errors they are noted.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, Vec<FieldError>>) -> Option<T> {
        read(&format!("/{}", pointer_token(name))).map_err(|errors| self.errors.extend(errors)).ok()
    }

    /// An object that is carried along.
    pub fn object(&mut self, name: &str, json: &Json<'_>) -> Option<RawJson> {
        if json.as_object().is_none() {
            self.wrong(name, FieldCode::WrongType, "this field is an object");
            return None;
        }
        Some(RawJson::from(json.raw))
    }

    /// Ends the reading: what was taken, put together by `make`, which gives `None` only where something was
    /// noted as wrong.
    ///
    /// # Errors
    /// 422 `VALIDATION_FAILED` with all that was wrong, NULs wherever they stand and keys that stand twice included.
    pub fn finish<T>(mut self, make: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        note_nul(self.json, "", &mut self.errors);
        for pointer in self.json.duplicate_keys() {
            let twice = FieldError::new(pointer, FieldCode::DuplicateKey, "the same key stands before");
            // A reader of a part may have said it already.
            if !self.errors.iter().any(|error| error.code == twice.code && error.pointer == twice.pointer) {
                self.errors.push(twice);
            }
        }
        if !self.errors.is_empty() {
            return Err(Problem::validation(self.errors));
        }
        make().ok_or_else(|| Problem::internal(&"a required field is missing and was not noted"))
    }
}

/// The reason in a body that may be anything, if it is there and of use: for the record of a call that was refused.
pub fn usable_reason(body: &[u8]) -> Option<String> {
    let json = json::parse(body).ok()?;
    reason(json.get("reason")?).ok().map(str::to_owned)
}

/// Reads a reason: 1 to 1,000 characters, not blank, no NUL.
fn reason<'j>(json: &'j Json<'_>) -> Result<&'j str, (FieldCode, &'static str)> {
    const MAX_REASON: usize = 1_000;
    let reason = sound_text(json, MAX_REASON, "write at most 1,000 characters")?;
    if reason.trim().is_empty() {
        return Err((FieldCode::InvalidValue, "say in a few words why you do this"));
    }
    Ok(reason)
}

/// A text that is not empty, not too long, and has no NUL.
fn sound_text<'j>(
    json: &'j Json<'_>,
    most: usize,
    too_long: &'static str,
) -> Result<&'j str, (FieldCode, &'static str)> {
    match json.as_str() {
        None => Err((FieldCode::WrongType, "this field is a string")),
        Some(text) if text.contains('\0') => Err((FieldCode::InvalidValue, "a text may not contain NUL")),
        Some("") => Err((FieldCode::InvalidValue, "a text may not be empty")),
        Some(text) if text.chars().count() > most => Err((FieldCode::TooLong, too_long)),
        Some(text) => Ok(text),
    }
}
