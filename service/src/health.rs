//! How a process says that it is well: `/livez` (it runs) and `/readyz` (it can work, and what it stands on).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::http::no_query;
use crate::problem::Problem;

/// What it means that a dependency is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The process cannot work: not ready, 503.
    NotReady,
    /// The process works, and some of its work waits: degraded, 200.
    Degraded,
}

/// The health of a process: what it stands on, and whether it is ending.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    dependencies: BTreeMap<&'static str, (Effect, Standing)>,
    draining: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Standing {
    status: UpOrDown,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum UpOrDown {
    Up,
    Down,
}

/// One thing that a process stands on: whoever watches it says here how it is.
#[derive(Clone, Debug)]
pub struct Dependency {
    name: &'static str,
    health: Health,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    status: Status,
    dependencies: BTreeMap<&'static str, Standing>,
}

/// The whole of it in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    #[serde(rename = "ready")]
    Ready,
    #[serde(rename = "degraded")]
    Degraded,
    #[serde(rename = "not ready")]
    NotReady,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// Names a dependency. It is down until somebody says otherwise. Naming it again changes nothing: in a process
    /// that is several services in one, they may share it.
    pub fn register(&self, name: &'static str, effect: Effect) -> Dependency {
        let not_yet = Standing { status: UpOrDown::Down, detail: "not reached yet".to_owned() };
        self.lock().dependencies.entry(name).or_insert((effect, not_yet));
        Dependency { name, health: self.clone() }
    }

    /// Says that the process is ending: not ready from now on, whatever its dependencies.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// How the process is.
    pub fn readiness(&self) -> Readiness {
        let state = self.lock();
        let down = |effect| {
            let mut all = state.dependencies.values();
            all.any(|(has, standing)| *has == effect && standing.status == UpOrDown::Down)
        };
        let status = if state.draining || down(Effect::NotReady) {
            Status::NotReady
        } else if down(Effect::Degraded) {
            Status::Degraded
        } else {
            Status::Ready
        };
        let dependencies = state.dependencies.iter().map(|(name, (_, standing))| (*name, standing.clone())).collect();
        Readiness { status, dependencies }
    }

    /// `GET /livez` and `GET /readyz`.
    pub fn routes(&self) -> Router {
        Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No holder of the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dependency {
    /// It answers.
    pub fn up(&self) {
        self.up_with("ok");
    }

    /// It answers, and this is how it stands.
    pub fn up_with(&self, detail: impl Into<String>) {
        self.set(UpOrDown::Up, detail.into());
    }

    /// It does not answer, and this is why.
    pub fn down(&self, detail: impl Into<String>) {
        self.set(UpOrDown::Down, detail.into());
    }

    fn set(&self, status: UpOrDown, detail: String) {
        let mut state = self.health.lock();
        let Some((_, standing)) = state.dependencies.get_mut(self.name) else { return };
        let before = std::mem::replace(standing, Standing { status, detail });
        let now = standing.clone();
        drop(state);
        // Said once for each change, here, so that nobody who watches something has to.
        match (before.status, now.status) {
            (UpOrDown::Down, UpOrDown::Up) => {
                tracing::info!(dependency = self.name, "Dependency is up: {}", now.detail)
            }
            (UpOrDown::Up, UpOrDown::Down) => {
                tracing::warn!(dependency = self.name, "Dependency is down: {}", now.detail);
            }
            (UpOrDown::Up, UpOrDown::Up) | (UpOrDown::Down, UpOrDown::Down) => {}
        }
    }
}

impl Readiness {
    pub fn status(&self) -> Status {
        self.status
    }
}

async fn livez(uri: Uri) -> Result<impl IntoResponse, Problem> {
    no_query(&uri)?;
    #[derive(Serialize)]
    struct Alive {
        status: &'static str,
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(Alive { status: "alive" })))
}

async fn readyz(State(health): State<Health>, uri: Uri) -> Result<impl IntoResponse, Problem> {
    no_query(&uri)?;
    let readiness = health.readiness();
    let code = match readiness.status {
        Status::Ready | Status::Degraded => StatusCode::OK,
        Status::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((code, [(CACHE_CONTROL, "no-store")], Json(readiness)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let health = Health::new();
        assert_eq!(health.readiness().status(), Status::Ready);
        let postgres = health.register("postgres", Effect::NotReady);
        let kafka = health.register("kafka", Effect::Degraded);
        assert_eq!(health.readiness().status(), Status::NotReady);
        postgres.up();
        assert_eq!(health.readiness().status(), Status::Degraded);
        kafka.up_with("3 brokers");
        assert_eq!(health.readiness().status(), Status::Ready);
        kafka.down("connection refused");
        postgres.down("connection refused");
        assert_eq!(health.readiness().status(), Status::NotReady);
    }

    #[test]
    fn naming_it_again_keeps_what_is_known() {
        let health = Health::new();
        health.register("kafka", Effect::NotReady).up();
        let again = health.register("kafka", Effect::NotReady);
        assert_eq!(health.readiness().status(), Status::Ready);
        again.down("gone");
        assert_eq!(health.readiness().status(), Status::NotReady);
    }

    #[test]
    fn an_ending_process_is_not_ready() {
        let health = Health::new();
        health.register("postgres", Effect::NotReady).up();
        health.drain();
        assert_eq!(health.readiness().status(), Status::NotReady);
    }
}
