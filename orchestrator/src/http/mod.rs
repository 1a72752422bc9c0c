//! The orchestrator's HTTP: routes over an [`Engine`].
//!
//! From outside to inside a request meets the edge (problems, counts, traces), the audit of what operators ask for
//! ([`admin`]), the door (keys and scopes), and then its handler: [`orders`], [`sagas`], [`definitions`], [`admin`].
//! Handlers read and write nothing but through the engine. What they start goes on if the client goes away.

mod admin;
mod answer;
mod cursor;
mod definitions;
mod fingerprint;
mod orders;
mod page;
mod path;
mod sagas;
mod start;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use saga_model::event::Action;
use saga_model::{Definition, SagaId};
use service::health::Health;
use service::http::{Audit, LAST_PATIENCE, PATIENCE};
use service::keys::{ApiKeys, Door, is_keyless};
use service::metrics::Metrics;
use service::problem::{Code, Problem};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, LetterAction};
use crate::store::StoreError;
use crate::store::rows::SagaRecord;

/// What the routes stand on.
pub struct Api {
    pub engine: Engine,
    pub keys: Arc<ApiKeys>,
    pub health: Health,
    pub metrics: Metrics,
    /// Cancelled when the process begins to end: whoever waits is answered with what there is.
    pub draining: CancellationToken,
}

/// Routes of others at the same address, behind the same door.
pub struct More {
    pub routes: Router,
    /// Admin paths whose calls `audit` records; all others are recorded here.
    pub records: fn(&str) -> bool,
    /// Puts their audit around the door. Only POST and PUT under `/admin` come that way.
    pub audit: Box<dyn FnOnce(Router) -> Router + Send>,
}

impl From<Router> for More {
    /// Routes that nobody has to record.
    fn from(routes: Router) -> Self {
        Self { routes, records: |_| false, audit: Box::new(|routes| routes) }
    }
}

/// All routes, complete with what surrounds them.
pub fn router(api: Api, more: impl Into<More>) -> Router {
    let More { routes: more, records, audit } = more.into();
    let api = Arc::new(api);
    let Api { keys, metrics, health, .. } = &*api;
    let mut routes = Router::new()
        .route("/orders", get(orders::list).post(orders::create))
        .route("/orders/{id}", get(orders::read))
        .route("/sagas/{id}", get(sagas::read).post(sagas::start))
        .route("/sagas/{id}/history", get(sagas::history))
        .route("/definitions", get(definitions::list))
        .route("/definitions/{name}", get(definitions::read))
        .route("/admin/audit", get(admin::entries::list))
        .route("/admin/dead-letters", get(admin::letters::list))
        .route("/admin/dead-letters/{id}", get(admin::letters::read));
    for action in [LetterAction::Replay, LetterAction::Discard] {
        let path = format!("/admin/dead-letters/{{id}}/{}", admin::letters::word(action));
        let act = move |State(api): State<Arc<Api>>, id, caller, uri, body| {
            admin::letters::act(api, action, id, caller, uri, body)
        };
        routes = routes.route(&path, post(act));
    }
    for action in Action::ALL {
        let path = format!("/admin/sagas/{{id}}/{}", action.as_str());
        routes = routes.route(&path, post(move |State(api): State<Arc<Api>>, call| admin::act(api, action, call)));
    }
    let routes = routes.with_state(api.clone()).merge(more).merge(health.routes()).merge(metrics.routes());
    let (door, http, audited) = (Door { keys: keys.clone(), keyless: is_keyless }, metrics.http(), api.clone());
    let around = Box::new(move |routes| audit(admin::audited(routes, audited, records)));
    service::http::guarded_edge(routes, door, Audit { concerns: admin::concerns, around }, http)
}

impl Api {
    /// Asks the database, for as long as a client may be kept waiting.
    ///
    /// # Errors
    /// 503 if the database does not answer.
    async fn read<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
        self.read_within(PATIENCE, question).await
    }

    async fn read_within<T>(
        &self,
        patience: Duration,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(patience, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(Problem::new(Code::Unavailable, "the database does not answer")),
        }
    }

    /// A saga as it is stored.
    async fn saga(&self, saga: SagaId) -> Result<Option<SagaRecord>, Problem> {
        self.read(self.engine.saga(saga)).await
    }

    /// The saga once it is at rest, or as it is after `at_most`, or once this process begins to end.
    async fn at_rest(&self, saga: SagaId, at_most: Duration) -> Result<Option<SagaRecord>, Problem> {
        let rest = tokio::time::timeout(at_most + PATIENCE, self.engine.at_rest(saga, at_most));
        tokio::select! {
            rest = rest => match rest {
                Ok(record) => record.map_err(|error| away(&error)),
                Err(_) => Err(Problem::new(Code::Unavailable, "the database does not answer")),
            },
            () = self.draining.cancelled() => self.saga(saga).await,
        }
    }

    /// Whether this instance cannot work because it owns no shard, and not because the database is away.
    async fn owns_nothing(&self) -> bool {
        self.engine.owned().is_empty() && self.read_within(LAST_PATIENCE, self.engine.store().ping()).await.is_ok()
    }

    /// The definition that a saga pins.
    async fn definition_of(&self, record: &SagaRecord) -> Result<Arc<Definition>, Problem> {
        let definition = self.read(self.engine.definition_of(record)).await?;
        definition.ok_or_else(|| Problem::internal(&format!("saga {} pins an unknown definition", record.saga.id)))
    }
}

/// What the client is told of a question that the database did not answer.
fn away(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) => {
            Problem::new(Code::Unavailable, error.to_string())
        }
        StoreError::Refused(_) => Problem::internal(error),
    }
}
