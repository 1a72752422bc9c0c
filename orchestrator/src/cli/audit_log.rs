//! `saga audit-log`: who asked for what, and what came of it.

use std::io::Write;

use clap::Args;
use saga_model::SagaId;
use serde::Deserialize;
use service::exit::Stop;

use super::args::{Pages, Server};
use super::client::{Client, Reply, Request};
use super::table::{or_dash, table};
use super::{finish_with, unreadable};

/// Which audit records.
#[derive(Args, Clone, Debug)]
pub struct AuditLogArgs {
    /// Only what concerns this saga
    #[arg(long, value_name = "ID")]
    saga_id: Option<SagaId>,

    /// Only what this one did, such as key:ops
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,

    /// Only this, such as cancel, discard or set-stock
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    #[command(flatten)]
    pages: Pages,

    #[command(flatten)]
    server: Server,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    entries: Vec<Entry>,
    next_cursor: Option<String>,
}

/// What is read of an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    at: String,
    actor: Option<String>,
    action: String,
    saga_id: Option<String>,
    reason: Option<String>,
    outcome: String,
    code: Option<String>,
    detail: Option<String>,
}

/// Lists the audit.
///
/// # Errors
/// Why it did not.
pub async fn run(args: AuditLogArgs, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let request = Request::get(&["admin", "audit"])
        .query("sagaId", args.saga_id.map(|saga| saga.to_string()))
        .query("actor", args.actor)
        .query("action", args.action);
    let reply = Client::new(&args.server)?.ask(args.pages.of(request)).await?;
    finish_with(&args.server, &reply, out, list)
}

fn list(reply: &Reply) -> Result<String, Stop> {
    let page: Page = serde_json::from_str(&reply.body).map_err(|error| unreadable("audit", &error))?;
    let rows = page.entries.into_iter().map(|entry| {
        let outcome = entry.code.map_or(entry.outcome.clone(), |code| format!("{} {code}", entry.outcome));
        let [actor, saga, reason, detail] =
            [&entry.actor, &entry.saga_id, &entry.reason, &entry.detail].map(|text| or_dash(text.as_deref()));
        [entry.at, actor, entry.action, saga, outcome, reason, detail]
    });
    let mut text = table(["AT", "ACTOR", "ACTION", "SAGA", "OUTCOME", "REASON", "DETAIL"], rows);
    if let Some(cursor) = page.next_cursor {
        text.push_str(&format!("the next page: --cursor {cursor}\n"));
    }
    Ok(text)
}
