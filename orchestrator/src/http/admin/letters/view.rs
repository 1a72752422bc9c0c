//! What is shown of dead letters.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::store::rows::{DeadLetter, DeadLetterStatus, LetterPage};

/// A page of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letters<'a> {
    dead_letters: Vec<Shown<'a>>,
    next_cursor: Option<String>,
    total: u64,
}

/// A dead letter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<'a> {
    id: String,
    topic: &'a str,
    partition: i32,
    offset: i64,
    /// As text: a key of ours is one.
    key: Option<Cow<'a, str>>,
    value_base64: Option<String>,
    code: &'a str,
    detail: &'a str,
    saga_id: Option<String>,
    at: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<Header<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Header<'a> {
    name: &'a str,
    value_base64: String,
}

impl<'a> Letters<'a> {
    pub fn of(page: &'a LetterPage, next_cursor: Option<String>) -> Self {
        Self { dead_letters: page.items.iter().map(Shown::of).collect(), next_cursor, total: page.total }
    }
}

impl<'a> Shown<'a> {
    /// As the list has it.
    pub fn of(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            topic: &letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            key: letter.key.as_deref().map(String::from_utf8_lossy),
            value_base64: letter.value.as_ref().map(|value| STANDARD.encode(value)),
            code: &letter.code,
            detail: &letter.detail,
            saga_id: letter.saga.map(|saga| saga.to_string()),
            at: letter.at.to_string(),
            status: word(letter.status),
            headers: None,
        }
    }

    /// With the headers that it came with.
    pub fn with_headers(letter: &'a DeadLetter) -> Self {
        let header = |(name, value)| Header { name, value_base64: STANDARD.encode(value) };
        Self { headers: Some(letter.headers.iter().map(header).collect()), ..Self::of(letter) }
    }
}

const STATUSES: [DeadLetterStatus; 3] =
    [DeadLetterStatus::New, DeadLetterStatus::Replayed, DeadLetterStatus::Discarded];

fn word(status: DeadLetterStatus) -> &'static str {
    match status {
        DeadLetterStatus::New => "NEW",
        DeadLetterStatus::Replayed => "REPLAYED",
        DeadLetterStatus::Discarded => "DISCARDED",
    }
}

/// The status of that word.
pub fn status(text: &str) -> Result<DeadLetterStatus, &'static str> {
    STATUSES.into_iter().find(|status| word(*status) == text).ok_or("write NEW, REPLAYED or DISCARDED")
}
