//! The stores to test, each empty, with [`SHARDS`] shards.

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use orchestrator::store::Store;
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::postgres::PostgresStore;
use orchestrator::store::sqlite::{self, SqliteStore};
use saga_model::Micros;
use saga_model::ids::ShardCount;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

pub const SHARDS: u16 = 4;

pub type AnyStore = Arc<dyn Store>;

pub async fn on_memory<F: Future<Output = ()>>(test: impl FnOnce(AnyStore) -> F) {
    #[expect(clippy::disallowed_methods, reason = "this is the clock of the store under test")]
    let now = || Micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64);
    test(Arc::new(MemoryStore::new(ShardCount::new(SHARDS).unwrap(), Arc::new(now)))).await;
}

pub async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(AnyStore) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saga.db");
    let writer = sqlite::open(&path).await.unwrap();
    migrations::migrate(&writer, SHARDS).await.unwrap();
    let store = SqliteStore::new(&path, writer).await.unwrap();
    test(Arc::new(store.clone())).await;
    store.close().await;
}

pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(AnyStore) -> F) {
    on_database(|url| {
        let store = PostgresStore::open(&url).unwrap();
        let done = test(Arc::new(store.clone()));
        async move {
            done.await;
            store.close().await;
        }
    })
    .await;
}

/// Runs a test on a database of its own, at the URL that it is given, and drops it whatever becomes of the test.
pub async fn on_database<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(String) -> F) {
    on_empty_database(|url| {
        let done = test(url.clone());
        async move {
            let prepared = PostgresStore::open(&url).unwrap();
            migrations::migrate(prepared.connection(), SHARDS).await.unwrap();
            prepared.close().await;
            done.await;
        }
    })
    .await;
}

/// The same on a database without tables.
pub async fn on_empty_database<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(String) -> F) {
    let server = std::env::var("DATABASE_URL")
        .expect("DATABASE_URL is not set: the tests need a real Postgres; `deploy/test` starts one and runs them");
    let name = format!("saga_test_{}", Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(&server).await.expect("the Postgres of DATABASE_URL answers");
    admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let ended = tokio::spawn(test(url_of(&server, &name))).await;
    admin.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    if let Err(panicked) = ended {
        std::panic::resume_unwind(panicked.into_panic());
    }
}

/// The same server and user, another database.
fn url_of(server: &str, database: &str) -> String {
    let (base, parameters) = server.split_once('?').map_or((server, None), |(base, rest)| (base, Some(rest)));
    let (scheme, rest) = base.split_once("://").expect("DATABASE_URL is a URL");
    let host = rest.split('/').next().unwrap_or(rest);
    let parameters = parameters.map(|rest| format!("?{rest}")).unwrap_or_default();
    format!("{scheme}://{host}/{database}{parameters}")
}

fn parts(url: &str) -> (&str, &str) {
    let (front, _) = url.split_once("://").expect("a URL");
    let host = url.rfind('@').map_or(front.len() + 3, |at| at + 1);
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    (&url[host..end], &url[end..])
}

/// The `host:port` of a URL.
pub fn address_of(url: &str) -> String {
    let (host, _) = parts(url);
    if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
}

/// The URL with another `host:port`.
pub fn with_address(url: &str, address: &str) -> String {
    let (host, rest) = parts(url);
    let front = &url[..url.len() - host.len() - rest.len()];
    format!("{front}{address}{rest}")
}
