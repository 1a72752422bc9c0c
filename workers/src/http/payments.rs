//! `GET /payments?orderId=`.

use axum::extract::State;
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use saga_model::money::Amount;
use serde::Serialize;
use service::http::Query;
use service::problem::Problem;
use uuid::Uuid;

use super::refused;
use crate::shop::gateway::entries::{Entries, EntryKind, Moved};

/// The route.
pub fn routes(entries: Entries) -> Router {
    Router::new().route("/payments", get(of_order)).with_state(entries)
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    order_id: Uuid,
    kind: &'static str,
    amount: Amount,
    currency: String,
    at: String,
}

fn shown(Moved { order, kind, amount, currency, at }: Moved) -> Option<Shown> {
    let kind = match kind {
        EntryKind::Capture => "CAPTURE",
        EntryKind::Refund => "REFUND",
        EntryKind::Void => return None, // no money moved
    };
    Some(Shown { order_id: order, kind, amount, currency, at: at.to_string() })
}

async fn of_order(State(entries): State<Entries>, uri: Uri) -> Result<Json<Page>, Problem> {
    let mut query = Query::of(&uri);
    let order = query.required_uuid("orderId");
    let order = query.finish(|| order)?;
    let entries = entries.of_order(order).await.map_err(refused)?;
    Ok(Json(Page { entries: entries.into_iter().filter_map(shown).collect() }))
}
