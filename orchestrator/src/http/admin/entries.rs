//! `GET /admin/audit`: who asked for what, and what came of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use saga_model::SagaId;
use serde::Serialize;
use service::http::Query;
use service::problem::{Code, Problem};

use crate::http::Api;
use crate::http::answer::Answer;
use crate::http::cursor::{List, Part};
use crate::store::rows::{AdminRequest, AuditFilter, RequestStatus};

/// What is said of a request that was withdrawn: whoever asked was told so.
pub const OWNER_SILENT: &str = "the instance that owns the saga did not answer in time; nothing was done, try again";

/// What is said when the database went away while a request waited for its answer.
pub const UNREAD: &str =
    "the database does not answer; the request may still be carried out in the next seconds: look at the saga first";

/// `GET /admin/audit`. A request is listed once it has been answered or withdrawn.
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entries<'a> {
        entries: Vec<Entry<'a>>,
        next_cursor: Option<String>,
    }
    let mut query = Query::of(&uri);
    let saga = query.uuid("sagaId").map(SagaId::from);
    let (actor, action) = (query.text("actor"), query.text("action"));
    let part = Part::of(List::Audit, &mut query);
    let filter =
        query.finish(|| Some(AuditFilter { saga, actor, action, before: part.before, limit: part.wanted() }))?;
    let mut records = api.read(api.engine.store().audit(&filter)).await?;
    let next_cursor = part.cut(&mut records, |record| record.id);
    let entries = records.iter().map(Entry::of).collect();
    Ok(Answer::of(StatusCode::OK, &Entries { entries, next_cursor })?.done())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    id: String,
    at: String,
    actor: Option<&'a str>,
    action: &'a str,
    saga_id: Option<String>,
    reason: Option<&'a str>,
    outcome: &'static str,
    code: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(record: &'a AdminRequest) -> Self {
        let (code, detail) = (record.code.as_deref(), record.detail.as_deref());
        let (outcome, code, detail) = match record.status {
            RequestStatus::Done => ("DONE", code, detail),
            RequestStatus::Refused => ("REFUSED", code, detail),
            // A pending one is not listed.
            RequestStatus::Withdrawn | RequestStatus::Pending => {
                ("REFUSED", Some(Code::OwnerUnavailable.as_str()), Some(OWNER_SILENT))
            }
        };
        Self {
            id: record.id.to_string(),
            at: record.at.to_string(),
            actor: record.actor.as_deref(),
            action: &record.action,
            saga_id: record.saga.map(|saga| saga.to_string()),
            reason: record.reason.as_deref(),
            outcome,
            code,
            detail,
        }
    }
}
