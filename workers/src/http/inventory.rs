//! `GET /inventory`, `GET /inventory/{sku}`, `PUT /admin/inventory/{sku}`.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use saga_model::ids::parse_uuid;
use serde::Serialize;
use service::http::{JsonBody, PATIENCE, Query, no_query, path_text, path_uuid};
use service::keys::Caller;
use service::problem::{Code, Problem};
use uuid::Uuid;

use super::audit::Recorded;
use super::set_stock::SetStock;
use super::{refused, unbroken};
use crate::shop::stock::{Change, Changed, Level, Stock};

type Shelf = State<Arc<dyn Stock>>;

/// The routes.
pub fn routes(stock: Arc<dyn Stock>) -> Router {
    Router::new()
        .route("/inventory", get(list))
        .route("/inventory/{sku}", get(one))
        .route("/admin/inventory/{sku}", put(set))
        .with_state(stock)
}

/// How many units of a product there are: `onHand = available + reserved + sold`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    sku: Uuid,
    on_hand: i64,
    available: i64,
    reserved: i64,
    sold: i64,
}

impl From<Level> for Shown {
    fn from(level: Level) -> Self {
        let available = level.available();
        let Level { sku, on_hand, reserved, sold } = level;
        Self { sku, on_hand, available, reserved, sold }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Shown>,
    next_cursor: Option<String>,
}

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 200;

async fn list(State(stock): Shelf, uri: Uri) -> Result<Json<Page>, Problem> {
    let mut query = Query::of(&uri);
    let after =
        query.optional("cursor", |text| parse_uuid(text).map_err(|_| "write the nextCursor of the page before"));
    let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    query.finish(|| Some(()))?;
    // One more than asked for says whether there is a next page.
    let mut levels = stock.levels(after, limit + 1).await.map_err(refused)?;
    let more = levels.len() as u64 > limit;
    levels.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = levels.last().filter(|_| more).map(|level| level.sku.to_string());
    Ok(Json(Page { items: levels.into_iter().map(Shown::from).collect(), next_cursor }))
}

async fn one(State(stock): Shelf, Sku(sku): Sku, uri: Uri) -> Result<Json<Shown>, Problem> {
    no_query(&uri)?;
    let level = stock.level(sku).await.map_err(refused)?;
    let unknown = || Problem::new(Code::SkuNotFound, format!("There is no product {sku}"));
    level.map(|level| Json(level.into())).ok_or_else(unknown)
}

async fn set(
    State(stock): Shelf,
    Sku(sku): Sku,
    uri: Uri,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_query(&uri)?;
    let SetStock { on_hand, reason } = SetStock::read(&body.parse()?)?;
    let actor = caller.name().map(|_| caller.actor());
    let change = Change { sku, on_hand, actor, reason };
    let changed = unbroken(PATIENCE, async move { stock.set(&change).await }).await?;
    let mut response = match changed {
        Changed::Done(level) => Json(Shown::from(level)).into_response(),
        Changed::Committed(Level { reserved, sold, .. }) => {
            let detail =
                format!("{reserved} units of product {sku} are reserved and {sold} are sold: more than {on_hand}");
            Problem::new(Code::StockCommitted, detail).into_response()
        }
    };
    response.extensions_mut().insert(Recorded);
    Ok(response)
}

/// The product in the path.
struct Sku(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Sku {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_uuid("sku", &path_text(parts, state, "sku").await?).map(Self)
    }
}
