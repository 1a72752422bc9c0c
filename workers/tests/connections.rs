//! Connections to Postgres as a worker has them.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::commands::new_saga;
use common::database;
use saga_model::state::Kind;
use sqlx::{Connection, PgConnection};
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
