//! `/orders`: the shop's own service. An order is its saga, seen another way.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use saga_model::catalog::order::{NAME, Order};
use saga_model::json::Json;
use service::http::{Fields, JsonBody, PathId, Query, no_query};
use service::problem::{Code, Problem};

use super::answer::Answer;
use super::page::{Page, Wanted};
use super::start::{Asker, Beginning, Wish};
use super::{Api, view};

/// `POST /orders`
pub async fn create(
    State(api): State<Arc<Api>>,
    beginning: Beginning,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_query(&uri)?;
    let asker = Asker::new(uri.path(), beginning, &headers)?;
    let order = match Order::plain(&body.0) {
        Some(order) => order,
        None => Order::parse(&body.parse()?, "").map_err(Problem::validation)?,
    };
    let wish = Wish::of_order(&order, None)?;
    let started = asker.start(&api, wish, || order.fingerprint()).await?;
    let order = view::order(&api, &started.record).await?.ok_or_else(|| lost(&started.record.saga.id))?;
    let answer = Answer::of(StatusCode::OK, &order)?.location(format!("/orders/{}", started.record.saga.id))?;
    Ok(answer.replayed(started.replayed).done())
}

/// `GET /orders/{id}`
pub async fn read(State(api): State<Arc<Api>>, PathId(id): PathId, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let record = api.saga(id.into()).await?;
    let order = match &record {
        Some(record) => view::order(&api, record).await?,
        None => None,
    };
    let order = order.ok_or_else(|| Problem::new(Code::OrderNotFound, format!("There is no order {id}")))?;
    Ok(Answer::of(StatusCode::OK, &order)?.done())
}

/// `GET /orders?userId=`
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::of(&uri);
    let user = query.required_uuid("userId");
    let page = query.number("page", 0..=MAX_PAGE);
    let size = query.number("size", 1..=100);
    let (user, wanted) = query.finish(|| {
        let wanted = Wanted { page: page.unwrap_or(0), size: size.unwrap_or(10) };
        Some((user?, wanted))
    })?;
    let found = api.read(api.engine.store().orders_of(user, wanted.offset(), u64::from(wanted.size))).await?;
    let mut orders = Vec::with_capacity(found.items.len());
    for record in &found.items {
        orders.push(view::order(&api, record).await?.ok_or_else(|| lost(&record.saga.id))?);
    }
    Ok(Answer::of(StatusCode::OK, &Page::new(wanted, orders, found.total))?.done())
}

/// An order that stands in the member `name` of a body.
pub fn field(fields: &mut Fields<'_>, name: &str, json: &Json<'_>) -> Option<Order> {
    fields.read(name, |at| Order::parse(json, at))
}

/// The last page that is looked for; an offset stays inside every database's numbers.
const MAX_PAGE: u32 = i32::MAX.unsigned_abs();

impl Wish {
    /// An order.
    ///
    /// # Errors
    /// Never in practice: an order is plain data.
    pub fn of_order(order: &Order, business_key: Option<String>) -> Result<Self, Problem> {
        Ok(Self {
            definition: NAME.to_owned(),
            input: order.to_input().map_err(|error| Problem::internal(&error))?,
            user_id: Some(order.user_id),
            business_key,
        })
    }
}

fn lost(id: &saga_model::SagaId) -> Problem {
    Problem::internal(&format!("saga {id} was stored as an order and is none"))
}
