//! Connections to Postgres as a worker has them.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::commands::new_saga;
use common::database;
use saga_model::state::Kind;
use sqlx::{Connection, Executor, PgConnection};
use workers::ledger::sql::SqlLedger;
use workers::ledger::{ClaimId, Ledger, Question};
use workers::participant::EffectKey;
use workers::sql::{Db, connect};

/// What is begun or done inside a transaction of somebody else is stored only with it.
#[tokio::test]
async fn a_connection_inside_a_transaction_is_not_used_again() {
    let url = database::database_url(true).await;
    let connection = connect::connect(&url, Duration::from_secs(10)).unwrap();
    let pool = connection.get_postgres_connection_pool().clone();
    let mut broken = pool.acquire().await.unwrap();
    std::mem::forget(broken.begin().await.unwrap());
    drop(broken);
    // It goes back to the pool in a task of its own.
    while pool.num_idle() == 0 {
        tokio::task::yield_now().await;
    }
    let key = EffectKey { saga: new_saga(), step: Arc::from("charge-payment"), round: 1 };
    let ledger = SqlLedger::new(Db::new(connection).unwrap());
    let questions = [Question { key, kind: Kind::Action, attempt: 1 }];
    ledger.claim(ClaimId::new(), Duration::from_secs(60), &questions).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM worker_ledger");
    assert_eq!(count.fetch_one(&mut other).await.unwrap(), 1);
}

/// Plans are made once, and may be made while a table holds a few rows: they look up by index what a batch names.
#[tokio::test]
async fn what_a_batch_names_is_looked_up_however_small_the_table_is() {
    let url = database::database_url(true).await;
    let connection = connect::connect(&url, Duration::from_secs(10)).unwrap();
    let ledger = SqlLedger::new(Db::new(connection.clone()).unwrap());
    let mut session = connection.get_postgres_connection_pool().acquire().await.unwrap();
    let change = "PREPARE change AS UPDATE worker_ledger l SET status = 1 \
        FROM (SELECT unnest($1::uuid[]) AS saga_id, unnest($2::text[]) AS step) AS r \
        WHERE l.saga_id = r.saga_id AND l.step = r.step AND l.claim = $3 AND l.status IN (0, 3)";
    session.execute(change).await.unwrap();
    // Autovacuum analyzes a table after 50 changes at the earliest: the entries and the ends of 25 rows.
    for rows in [0, 25] {
        for _ in 0..rows {
            let key = EffectKey { saga: new_saga(), step: Arc::from("charge-payment"), round: 1 };
            let questions = [Question { key, kind: Kind::Action, attempt: 1 }];
            ledger.claim(ClaimId::new(), Duration::from_secs(60), &questions).await.unwrap();
        }
        if rows > 0 {
            session.execute("ANALYZE worker_ledger").await.unwrap();
        }
        let plan = sqlx::query_scalar::<_, String>("EXPLAIN EXECUTE change('{}', '{}', 1)");
        let plan = plan.fetch_all(&mut *session).await.unwrap().join("\n");
        assert!(plan.contains("Index Cond") && !plan.contains("Join Filter"), "{rows}: {plan}");
    }
}
