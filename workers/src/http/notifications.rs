//! `GET /notifications?orderId=`.

use axum::extract::State;
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use service::http::Query;
use service::problem::Problem;
use uuid::Uuid;

use super::refused;
use crate::shop::notification::{Notified, SentNotifications};

/// The route.
pub fn routes(sent: SentNotifications) -> Router {
    Router::new().route("/notifications", get(of_order)).with_state(sent)
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    order_id: Uuid,
    outcome: String,
    at: String,
}

impl From<Notified> for Shown {
    fn from(Notified { order, outcome, at }: Notified) -> Self {
        Self { order_id: order, outcome, at: at.to_string() }
    }
}

async fn of_order(State(sent): State<SentNotifications>, uri: Uri) -> Result<Json<Page>, Problem> {
    let mut query = Query::of(&uri);
    let order = query.required_uuid("orderId");
    let order = query.finish(|| order)?;
    let entries = sent.of_order(order).await.map_err(refused)?;
    Ok(Json(Page { entries: entries.into_iter().map(Shown::from).collect() }))
}
