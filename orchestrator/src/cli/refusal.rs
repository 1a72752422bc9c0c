//! A refusal for people: what was wrong, and what to do about it.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;

use super::client::Reply;

/// What is read of a problem document.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    detail: Cow<'a, str>,
    /// The path that was asked for.
    #[serde(borrow, default)]
    instance: Cow<'a, str>,
    #[serde(borrow, default)]
    errors: Vec<Wrong<'a>>,
}

#[derive(Deserialize)]
struct Wrong<'a> {
    #[serde(borrow, default)]
    pointer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameter: Option<Cow<'a, str>>,
    #[serde(borrow)]
    detail: Cow<'a, str>,
}

/// The sentences for standard error.
pub fn explain(reply: &Reply) -> String {
    let Ok(document) = serde_json::from_str::<Document<'_>>(&reply.body) else {
        return format!("{}; whoever answers at SAGA_URL does not answer as an orchestrator does", reply.status);
    };
    let mut text = format!("{} ({})", document.detail, document.code);
    for Wrong { pointer, parameter, detail } in &document.errors {
        let place = match (pointer.as_deref(), parameter.as_deref()) {
            (Some(""), _) => "the body",
            (Some(place), _) | (None, Some(place)) => place,
            (None, None) => "somewhere",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {place}: {detail}");
    }
    if let Some(advice) = advice(&document.code, &document.instance) {
        let _ = write!(text, "\n  {advice}");
    }
    text
}

/// What somebody at a terminal can do about it, where the detail cannot know.
fn advice(code: &str, path: &str) -> Option<&'static str> {
    match code {
        "UNAUTHENTICATED" => {
            Some("set SAGA_API_KEY to the secret of a key with that scope (`saga dev` prints that of its admin key)")
        }
        "FORBIDDEN" => Some("set SAGA_API_KEY to the secret of a key that has the scope"),
        "SAGA_NOT_FOUND" => Some("check the id, and that SAGA_URL is the orchestrator that runs it"),
        "DEAD_LETTER_NOT_FOUND" => Some("`saga dead-letters list` names those that there are"),
        "ACTION_NOT_ALLOWED" if path.starts_with("/admin/dead-letters/") => {
            Some("`saga dead-letters show` says what has become of it")
        }
        "ACTION_NOT_ALLOWED" => Some("`saga show` says what is possible now"),
        "REVISION_MISMATCH" => Some("`saga show` says what it has become"),
        "OVERLOADED" | "UNAVAILABLE" | "NOT_READY" | "OWNER_UNAVAILABLE" => Some("try again in a moment"),
        _ => None, // the detail says it all
    }
}
