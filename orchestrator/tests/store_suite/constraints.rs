//! What Postgres refuses by itself, whoever asks: each of its constraints, broken once.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::stores::on_database;

/// A row of each table that is as it should be.
const ROWS: &[(&str, &str)] = &[
    ("shard", "id = 0"),
    ("instance", "id = 'a', alive_until = 1"),
    ("definition", "name = 'd', version = 1, digest = 'x', blueprint = '{}', policy = '{}'"),
    (
        "saga",
        "id = '00000000-0000-7000-8000-000000000001', slot = 3, definition_id = 1, input = '{}', state = '{}', \
         status = 'RUNNING', order_status = 'CREATED', active = true, held = false, revision = 1, created_at = 1, \
         updated_at = 1, traceparent = ''",
    ),
    (
        "history",
        "saga_id = '00000000-0000-7000-8000-000000000001', seq = 1, shard = 3, shard_seq = 1, at = 1, \
         type = 'SagaStarted', round = 1, attempt = 1, data = '{}', actor = 'key:anonymous'",
    ),
    (
        "idempotency",
        "caller = '', path = '/orders', key = 'k', fingerprint = 'f', at = 1, \
         saga_id = '00000000-0000-7000-8000-000000000001'",
    ),
    (
        "admin_request",
        "id = '00000000-0000-7000-8000-000000000001', action = 'cancel', at = 1, status = 'DONE', shard = 0",
    ),
    (
        "dead_letter",
        "id = '00000000-0000-7000-8000-000000000001', topic = 't', partition = 0, \"offset\" = 1, headers = '[]', \
         code = 'NOT_JSON', detail = '', at = 1, status = 'NEW'",
    ),
    (
        "worker_ledger",
        "saga_id = '00000000-0000-7000-8000-000000000001', step = 'pay', round = 1, status = 0, unsettled = false, \
         claim = 1, lease_until = 0, undo_round = 0, undone = false",
    ),
    ("stock", "sku = '00000000-0000-7000-8000-000000000001', on_hand = 10, reserved = 4, sold = 6"),
    (
        "reservation",
        "saga_id = '00000000-0000-7000-8000-000000000001', step = 's', round = 1, status = 0, lines = '', \
         generation = 0, held = true, at = 1",
    ),
    ("stock_generation", "id = 2, generation = 0"),
    (
        "payment_entry",
        "saga_id = '00000000-0000-7000-8000-000000000001', step = 'pay', round = 1, side = 0, kind = 0, amount = 500, \
         order_id = '00000000-0000-7000-8000-000000000001', currency = 'EUR', at = 1",
    ),
    (
        "notification_sent",
        "saga_id = '00000000-0000-7000-8000-000000000001', step = 'tell', round = 1, at = 1, \
         order_id = '00000000-0000-7000-8000-000000000001', outcome = 'CONFIRMED'",
    ),
];

/// Changes of these rows that must not be.
const CHANGES: &[(&str, &[&str])] = &[
    ("shard", &["id = 64", "id = -1", "epoch = -1", "published = 1", "published = -1", "reply_offset = -1"]),
    ("definition", &["version = 0"]),
    (
        "saga",
        &[
            "slot = 64",
            "slot = -1",
            "revision = 0",
            "status = 'LOST'",
            "status = 'STUCK'",
            "active = false",
            "status = 'COMPLETED'",
            "status = 'PAUSED'",
            "held = true",
            "order_status = 'SHIPPED'",
        ],
    ),
    ("history", &["seq = 0", "shard = 64", "shard_seq = 0", "round = 0", "attempt = 0"]),
    ("admin_request", &["status = 'MAYBE'", "shard = 64"]),
    ("dead_letter", &["status = 'LOST'"]),
    ("worker_ledger", &["status = 6", "status = -1", "round = -1", "undo_round = -1"]),
    ("stock", &["reserved = 5", "sold = 7", "on_hand = 9", "reserved = -1", "sold = -1"]),
    ("reservation", &["status = 3", "round = 0", "held = false"]),
    ("payment_entry", &["round = 0", "kind = 2", "kind = 3", "side = 1", "side = 2", "amount = -1", "kind = 1"]),
    ("notification_sent", &["round = 0"]),
];

/// A second row beside the first, which breaks a key that is not the primary one.
const TWINS: &[(&str, &str)] = &[
    ("definition", "id = 1"),
    ("definition", "digest = 'another'"),
    ("history", "seq = 2"),
    ("dead_letter", "id = '00000000-0000-7000-8000-000000000002'"),
];

/// The columns and the values of `a = 1, b = 2`.
fn insert(table: &str, row: &str) -> String {
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for cell in row.split(", ") {
        let (column, value) = cell.split_once(" = ").unwrap();
        columns.push(column);
        values.push(value);
    }
    format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", "))
}

fn with(row: &str, change: &str) -> String {
    let (column, _) = change.split_once(" = ").unwrap();
    let kept = row.split(", ").filter(|cell| cell.split_once(" = ").unwrap().0 != column);
    kept.chain([change]).collect::<Vec<_>>().join(", ")
}

/// Runs a statement that must break a constraint, and returns its name.
async fn broken_by(sql: &mut PgConnection, statement: String) -> String {
    let error = sql.execute(AssertSqlSafe(statement.clone())).await.err();
    let error = error.unwrap_or_else(|| panic!("it was taken: {statement}"));
    let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
    constraint.unwrap_or_else(|| panic!("{statement}: {error}"))
}

#[tokio::test]
async fn every_constraint_of_the_database_refuses_what_breaks_it() {
    on_database(|url| async move {
        let mut sql = PgConnection::connect(&url).await.unwrap();
        sql.execute("DELETE FROM shard").await.unwrap();
        let mut broken = BTreeSet::new();
        for (table, row) in ROWS {
            sql.execute(AssertSqlSafe(insert(table, row))).await.unwrap();
            broken.insert(broken_by(&mut sql, insert(table, row)).await);
        }
        for (table, changes) in CHANGES {
            for change in *changes {
                broken.insert(broken_by(&mut sql, format!("UPDATE {table} SET {change}")).await);
            }
        }
        for (table, change) in TWINS {
            let row = ROWS.iter().find(|(of, _)| of == table).unwrap().1;
            broken.insert(broken_by(&mut sql, insert(table, &with(row, change))).await);
        }
        let all = "SELECT conname::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
             AND conrelid <> 'seaql_migrations'::regclass \
             UNION SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid \
             WHERE indisunique AND relnamespace = 'public'::regnamespace AND relname <> 'seaql_migrations'";
        let all: BTreeSet<String> =
            sqlx::query(all).fetch_all(&mut sql).await.unwrap().iter().map(|row| row.get(0)).collect();
        let untried: Vec<_> = all.difference(&broken).collect();
        assert!(untried.is_empty(), "nothing above breaks {untried:?}");
    })
    .await;
}
