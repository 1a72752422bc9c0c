//! Between the words of the engine and the columns of the tables.
//!
//! Both directions can refuse: a number that its column cannot hold, a text that is not what it should be. That is
//! [`StoreError::Refused`], with a sentence that names the row.

pub mod batch;
pub mod history;
pub mod operators;
pub mod ownership;
pub mod saga;

use std::fmt::Display;

use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;
use serde::{Deserialize, Serialize};

use super::{Result, StoreError};

/// A row that cannot be written or read as it is.
fn refused(what: impl Display, why: impl Display) -> StoreError {
    StoreError::Refused(format!("{what}: {why}"))
}

/// The JSON of a value; `bytes` is how long it will be, as a guess, so that it need not grow.
fn json(what: impl Display, value: &impl Serialize, bytes: usize) -> Result<String> {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, value).map_err(|error| refused(&what, error))?;
    String::from_utf8(text).map_err(|error| refused(what, error))
}

/// A number in the type of its column, or of the engine.
fn number<To, From: Copy + Display>(what: impl Display, value: From) -> Result<To>
where
    To: TryFrom<From>,
{
    To::try_from(value).map_err(|_| refused(what, format!("{value} is out of range")))
}

/// The variant that serde has for a word.
fn from_word<T: for<'de> Deserialize<'de>>(what: impl Display, word: &str) -> Result<T> {
    T::deserialize(word.into_deserializer()).map_err(|error: WordError| refused(what, error))
}

/// A text as a database can hold it: Postgres has no NUL in its texts, and workers may put one into a code or a
/// message. (JSON has it escaped.)
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
