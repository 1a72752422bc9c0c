//! From one schema to the next, and back.

use std::str::FromStr;

use migrations::{Migrator, MigratorTrait, SchemaProblem, check, migrate};
use orchestrator::store::postgres::PostgresStore;
use orchestrator::store::sqlite;
use sea_orm::{ConnectionTrait, DatabaseConnection, SqlxPostgresConnector, Statement};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection};

use crate::stores::{SHARDS, on_empty_database};

/// How many migrations there were before live sagas were flagged.
const BEFORE_FLAGS: u32 = 5;

/// A database as it was then, with a saga that lives and one that has ended.
async fn before_flags(db: &DatabaseConnection) {
    Migrator::up(db, Some(BEFORE_FLAGS)).await.unwrap();
    for shard in 0..SHARDS {
        db.execute_unprepared(&format!("INSERT INTO shard (id) VALUES ({shard})")).await.unwrap();
    }
    for (number, status, active) in [(1, "RUNNING", true), (2, "COMPLETED", false)] {
        let id = format!("00000000-0000-7000-8000-00000000000{number}");
        // As a blob for SQLite, as text for Postgres, which makes it a UUID.
        let id = match db.get_database_backend() {
            sea_orm::DbBackend::Sqlite => format!("x'{}'", id.replace('-', "")),
            _ => format!("'{id}'"),
        };
        let insert = format!(
            "INSERT INTO saga (id, slot, definition_id, input, state, status, order_status, active, held, revision,
                created_at, updated_at, traceparent)
             VALUES ({id}, 0, 1, '{{}}', '{{}}', '{status}', 'CREATED', {active}, false, 1, 1, 1, '')"
        );
        db.execute_unprepared(&insert).await.unwrap();
    }
}

/// Which sagas are flagged, in order of id.
async fn flags(db: &DatabaseConnection) -> Vec<bool> {
    let select = Statement::from_string(db.get_database_backend(), "SELECT lingering FROM saga ORDER BY id");
    let rows = db.query_all_raw(select).await.unwrap();
    rows.iter().map(|row| row.try_get("", "lingering").unwrap()).collect()
}

/// What lives is flagged; and all steps can be taken back.
async fn forth_and_back(db: &DatabaseConnection) {
    migrate(db, SHARDS).await.unwrap();
    assert_eq!(flags(db).await, [true, false]);
    Migrator::reset(db).await.unwrap();
    assert!(matches!(check(db).await, Err(SchemaProblem::Outdated { .. })));
    migrate(db, SHARDS).await.unwrap();
    check(db).await.unwrap();
}

#[tokio::test]
async fn live_sagas_are_flagged_in_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let db = sqlite::open(&home.path().join("saga.db")).await.unwrap();
    before_flags(&db).await;
    forth_and_back(&db).await;
    db.close().await.unwrap();
}

#[tokio::test]
async fn live_sagas_are_flagged_in_postgres_once_no_instance_runs() {
    on_empty_database(|url| async move {
        let store = PostgresStore::open(&url).unwrap();
        let db = store.connection();
        before_flags(db).await;
        // One that was killed long ago, and one that runs.
        let insert = "INSERT INTO instance (id, alive_until) VALUES ('gone', 1), ('here', 9000000000000000)";
        db.execute_unprepared(insert).await.unwrap();
        let refused = migrate(db, SHARDS).await.unwrap_err();
        let words = std::error::Error::source(&refused).unwrap().to_string();
        assert!(words.contains("stop every `saga serve` first") && words.contains("Alive: here;"), "{words}");
        let problem = check(db).await.unwrap_err();
        assert!(
            matches!(&problem, SchemaProblem::Outdated { missing } if missing[0].ends_with("lingering")),
            "{problem}"
        );
        db.execute_unprepared("UPDATE instance SET alive_until = 2").await.unwrap();
        forth_and_back(db).await;
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_step_may_take_longer_than_a_statement_otherwise() {
    on_empty_database(|url| async move {
        let limited = PgConnectOptions::from_str(&url).unwrap().options([("statement_timeout", "1s")]);
        let pool = PgPoolOptions::new().connect_with(limited).await.unwrap();
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        let mut other = PgConnection::connect(&url).await.unwrap();
        // Another one migrates.
        other.execute("SELECT pg_advisory_lock(1935763297)").await.unwrap();
        let migrating = tokio::spawn(async move { migrate(&db, SHARDS).await });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event = 'advisory' AND clock_timestamp() - query_start > '1500ms'";
        while !migrating.is_finished() && sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut other).await.unwrap() == 0
        {
        }
        other.execute("SELECT pg_advisory_unlock(1935763297)").await.unwrap();
        migrating.await.unwrap().unwrap();
        other.close().await.unwrap();
    })
    .await;
}
