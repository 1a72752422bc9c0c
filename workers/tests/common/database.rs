//! Databases of a test's own: SQLite in memory or in a file, and a schema in the real Postgres.

use migrations::workers;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use sea_orm_migration::{MigrationTrait, SchemaManager};

/// The setting of that name.
///
/// # Panics
/// If it is not set: the test needs the real part.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run deploy/test, which starts the real parts"))
}

/// A database in memory, with the workers' tables. It has one connection, as in `saga dev`.
pub async fn sqlite() -> DatabaseConnection {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    migrated(Database::connect(options).await.expect("SQLite in memory")).await
}

/// A schema of its own in the Postgres of `DATABASE_URL`, with the workers' tables.
pub async fn postgres() -> DatabaseConnection {
    let url = setting("DATABASE_URL");
    let schema = format!("workers_{}", uuid::Uuid::new_v4().simple());
    let admin = Database::connect(&url).await.expect("Postgres answers");
    admin.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.expect("a schema");
    let mut options = ConnectOptions::new(url);
    options.max_connections(8).sqlx_logging(false).set_schema_search_path(schema);
    migrated(Database::connect(options).await.expect("Postgres answers")).await
}

/// The tables of the workers, and stand-ins for the two tables of the orchestrator that workers write to.
async fn migrated(connection: DatabaseConnection) -> DatabaseConnection {
    let manager = SchemaManager::new(&connection);
    for migration in workers::all() {
        let migration: Box<dyn MigrationTrait> = migration;
        migration.up(&manager).await.expect("the migration applies");
    }
    for table in [
        "CREATE TABLE dead_letter (id uuid PRIMARY KEY, topic text NOT NULL, partition int NOT NULL, \
            \"offset\" bigint NOT NULL, key bytea, value bytea NOT NULL, headers text NOT NULL, code text NOT NULL, \
            detail text NOT NULL, saga_id uuid, at bigint NOT NULL, status text NOT NULL, \
            UNIQUE (topic, partition, \"offset\"))",
        "CREATE TABLE admin_request (id uuid PRIMARY KEY, saga_id uuid, shard int, action text NOT NULL, body text, \
            actor text, reason text, if_match int, at bigint NOT NULL, status text NOT NULL, code text, detail text)",
    ] {
        connection.execute_unprepared(table).await.expect("a stand-in");
    }
    connection
}
