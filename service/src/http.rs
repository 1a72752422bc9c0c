//! The edge of a process: what is the same for every route.
//!
//! From outside to inside a request meets: [`serve`] (an answer given early is not lost), [`edge`] (every refusal is a
//! problem document; counts, traces, long URIs, panics), whatever the process puts between (an audit), the door
//! ([`crate::keys::guard`]), and then its handler, which reads it with [`JsonBody`], [`Fields`], [`Query`], [`PathId`]
//! and the header functions here.

mod bare;
mod body;
mod drain;
mod edge;
mod fields;
mod headers;
mod late;
mod path;
mod query;
mod serve;
mod trace;

use std::time::Duration;

/// How long the database may take for a request before the client hears that it is away.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// What a last question has at least, when those before it took their time.
pub const LAST_PATIENCE: Duration = Duration::from_millis(500);

pub use body::{JsonBody, MAX_BODY_BYTES, parse_json};
pub use edge::{Audit, MAX_URI_BYTES, edge, guarded_edge, refusal};
pub use fields::{Fields, usable_reason};
pub use headers::{Revision, idempotency_key, if_match};
pub use late::refused_body;
pub use path::{PathId, path_text, path_uuid};
pub use query::{Query, no_query};
pub use serve::{Routes, bind, serve};
pub use trace::RequestTrace;
