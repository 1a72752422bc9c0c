//! `saga audit`: it finds nothing where all is well, and each thing that is not.

mod support;

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use support::{Client, Json, Process, binary_path, free_address};

const SKU: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";

/// A database with a confirmed and a compensated order, and nobody who works on it.
struct Kept {
    home: tempfile::TempDir,
    confirmed: String,
    compensated: String,
}

impl Kept {
    async fn make() -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = free_address();
        let data = home.path().to_str().unwrap().to_owned();
        let args = ["dev", "--data-dir", &data, "--http-addr", &address];
        let mut process = Process::start("saga dev", &binary_path("saga"), &args, &BTreeMap::new());
        process.wait_for(&["saga dev is ready"]);
        let client = Client::new(format!("http://{address}"));
        let ended = async |method: &str| {
            let body = json!({"userId": "11111111-1111-1111-1111-111111111111", "amount": 5, "items": {SKU: 3},
                "paymentMethod": method});
            let reply = client.try_send("POST", "/orders", &[("idempotency-key", method)], Some(&body)).await.unwrap();
            let id = reply.body["id"].as_str().unwrap().to_owned();
            client.at_rest(&id).await;
            id
        };
        let (confirmed, compensated) = (ended("pm_approve").await, ended("pm_decline").await);
        // Units are sold when the event has been read.
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        while client.get(&format!("/inventory/{SKU}")).await.body["sold"] != 3 {
            pace.tick().await;
        }
        assert_eq!(process.terminate(), 0);
        Self { home, confirmed, compensated }
    }

    async fn sql(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.home.path().join("saga.db")).connect().await.unwrap()
    }

    /// The rules that are broken, with the sagas, and the exit code.
    fn audit(&self) -> (i32, Vec<(String, Option<String>)>) {
        let args = ["audit", "--data-dir", self.home.path().to_str().unwrap(), "--json"];
        let output = std::process::Command::new(binary_path("saga")).args(args).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let broken = lines.lines().map(|line| {
            let violation: Json = serde_json::from_str(line).unwrap();
            let saga = violation["sagaId"].as_str().map(str::to_owned);
            (violation["rule"].as_str().unwrap().to_owned(), saga)
        });
        (output.status.code().unwrap(), broken.collect())
    }
}

/// A saga's id as SQLite has it.
fn blob(id: &str) -> String {
    format!("x'{}'", id.replace('-', ""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_thing_that_does_not_hold_is_found() {
    let kept = Kept::make().await;
    assert_eq!(kept.audit(), (0, vec![]));
    let (good, undone) = (blob(&kept.confirmed), blob(&kept.compensated));
    let cases = [
        ("ROW-1", "UPDATE saga SET state = '{' WHERE id = {good}", Some(&kept.confirmed)),
        ("ROW-1", "UPDATE history SET data = '[' WHERE saga_id = {good} AND seq = 2", Some(&kept.confirmed)),
        ("ROW-2", "UPDATE saga SET error_code = 'X' WHERE id = {good}", Some(&kept.confirmed)),
        ("ROW-3", "UPDATE history SET shard = 63 WHERE saga_id = {good} AND seq = 2", Some(&kept.confirmed)),
        ("ROW-4", "UPDATE shard SET last_seq = last_seq + 1", None),
        ("ROW-5", "DELETE FROM saga WHERE id = {good}", Some(&kept.confirmed)),
        ("ROW-6", "DELETE FROM saga WHERE id = {good}", Some(&kept.confirmed)),
        (
            "ROW-7",
            "INSERT INTO admin_request (id, saga_id, shard, action, at, status) VALUES ({good}, {good}, 0, 'cancel', 1, 'DONE')",
            Some(&kept.confirmed),
        ),
        (
            "ROW-8",
            "UPDATE shard SET live_from = x'ffffffffffffffffffffffffffffffff';
             UPDATE saga SET status = 'RUNNING', active = 1 WHERE id = {good}",
            Some(&kept.confirmed),
        ),
        ("INV-6", "UPDATE history SET attempt = 2 WHERE saga_id = {good} AND seq = 2", Some(&kept.confirmed)),
        ("INV-7", "DELETE FROM history WHERE saga_id = {good} AND seq = 2", Some(&kept.confirmed)),
        ("BOOK-1", "UPDATE stock SET sold = sold + 1", None),
        ("BOOK-1", "DELETE FROM stock", None),
        (
            "BOOK-2",
            "INSERT INTO payment_entry SELECT saga_id, step, 2, side, order_id, kind, amount, currency, at
             FROM payment_entry WHERE saga_id = {good}",
            Some(&kept.confirmed),
        ),
        ("BOOK-3", "DELETE FROM payment_entry WHERE saga_id = {good}", Some(&kept.confirmed)),
        ("BOOK-4", "UPDATE reservation SET status = 0 WHERE saga_id = {undone} AND round = 1", Some(&kept.compensated)),
    ];
    for (rule, sabotage, saga) in cases {
        let mut sql = kept.sql().await;
        let copy = kept.home.path().join("kept.db");
        let path = copy.to_str().unwrap();
        sqlx::query(AssertSqlSafe(format!("VACUUM INTO '{path}'"))).execute(&mut sql).await.unwrap();
        let statement = sabotage.replace("{good}", &good).replace("{undone}", &undone);
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut sql).await.unwrap();
        assert_ne!(done.rows_affected(), 0, "{sabotage}");
        sql.close().await.unwrap();
        let (code, broken) = kept.audit();
        assert!(code == 1 && broken.contains(&(rule.to_owned(), saga.cloned())), "{sabotage}: {code} {broken:?}");
        for name in ["saga.db", "saga.db-wal", "saga.db-shm"] {
            // The files beside it are not always there.
            drop(std::fs::remove_file(kept.home.path().join(name)));
        }
        std::fs::rename(&copy, kept.home.path().join("saga.db")).unwrap();
    }
    assert_eq!(kept.audit(), (0, vec![]), "each was undone");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_of() {
    let home = tempfile::tempdir().unwrap();
    let args = ["audit", "--data-dir", home.path().to_str().unwrap()];
    let output = std::process::Command::new(binary_path("saga")).args(args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("cannot read the database"), "{error}");
    let wrong = ["audit", "--database-url", "mysql://me:secret@nowhere/x"];
    let output = std::process::Command::new(binary_path("saga")).args(wrong).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("postgres://") && !error.contains("secret"), "{error}");
}
