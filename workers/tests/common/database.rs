//! Databases of a test's own: SQLite in memory or in a file, and a schema in the real Postgres.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

/// The setting of that name.
///
/// # Panics
/// If it is not set: the test needs the real part.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run deploy/test, which starts the real parts"))
}

/// A database in memory, with all tables. It has one connection, as in `saga dev`.
pub async fn sqlite() -> DatabaseConnection {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    migrated(Database::connect(options).await.expect("SQLite in memory")).await
}

/// A schema of its own in the Postgres of `DATABASE_URL`, with all tables.
pub async fn postgres() -> DatabaseConnection {
    let url = setting("DATABASE_URL");
    let schema = format!("workers_{}", uuid::Uuid::new_v4().simple());
    let admin = Database::connect(&url).await.expect("Postgres answers");
    admin.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.expect("a schema");
    let mut options = ConnectOptions::new(url);
    options.max_connections(8).sqlx_logging(false).set_schema_search_path(schema);
    migrated(Database::connect(options).await.expect("Postgres answers")).await
}

/// The URL of a database of its own in the Postgres of `DATABASE_URL`, for a process; with all tables, if so asked.
pub async fn database_url(with_tables: bool) -> String {
    let (server, name) = (setting("DATABASE_URL"), format!("worker_{}", uuid::Uuid::new_v4().simple()));
    let admin = Database::connect(&server).await.expect("Postgres answers");
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database");
    let (host, _) = server.rsplit_once('/').expect("a URL with a database");
    let url = format!("{host}/{name}");
    if with_tables {
        migrated(Database::connect(&url).await.expect("Postgres answers")).await;
    }
    url
}

async fn migrated(connection: DatabaseConnection) -> DatabaseConnection {
    migrations::migrate(&connection, 4).await.expect("the migrations apply");
    connection
}
