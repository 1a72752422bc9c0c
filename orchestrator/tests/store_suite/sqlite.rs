//! What only SQLite can do wrong: a transaction that ends otherwise than it was told to, as on a full disk.
//!
//! The writer is one connection, which `saga dev` shares with its workers: what one of them leaves behind is what the
//! next one gets. Everybody else sees what is committed, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use orchestrator::store::rows::Batch;
use orchestrator::store::sqlite::{self, SqliteStore};
use orchestrator::store::{Committed, StoreError};
use saga_model::ids::ShardId;
use saga_model::state::Kind;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use sqlx::{Acquire, Connection, SqliteConnection};
use workers::ledger::sql::SqlLedger;
use workers::ledger::{ClaimId, Ledger, Question};
use workers::participant::EffectKey;
use workers::shop::stock::sql::SqlStock;
use workers::shop::stock::{Change, Stock};
use workers::sql::Db;
use workers::trouble::{Part, Trouble};

use crate::fixtures::{Owner, id_in, saga};
use crate::stores::{AnyStore, SHARDS};

const ZERO: ShardId = ShardId(0);

/// A store, the connection that writes, and somebody else who reads.
struct File {
    store: AnyStore,
    writer: DatabaseConnection,
    reader: SqliteConnection,
    _home: tempfile::TempDir,
}

/// A way to leave a transaction without its end.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The COMMIT fails, and SQLite rolls back by itself.
    CommitFails,
    /// A statement fails for want of space.
    Full,
    /// Somebody was dropped in the middle of it, and nothing was rolled back.
    Forgotten,
}

impl File {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("saga.db");
        let writer = sqlite::open(&path).await.unwrap();
        migrations::migrate(&writer, SHARDS).await.unwrap();
        let store = Arc::new(SqliteStore::new(&path, writer.clone()).await.unwrap());
        let reader = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        Self { store, writer, reader, _home: home }
    }

    /// The next transaction goes this way.
    async fn prepare(&self, way: Way) {
        let pool = self.writer.get_sqlite_connection_pool();
        let mut connection = pool.acquire().await.unwrap();
        match way {
            Way::CommitFails => connection.lock_handle().await.unwrap().set_commit_hook(|| false),
            Way::Full => {
                // Not below what it has: so it is full.
                sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
            }
            Way::Forgotten => std::mem::forget(connection.begin().await.unwrap()),
        }
        drop(connection);
        // It goes back to the pool in a task of its own.
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn count(&mut self, table: &'static str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&mut self.reader).await.unwrap()
    }
}

/// More than fits into the pages that there are.
fn large(owner: &Owner) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..200 {
        owner.start(&mut batch, &saga(id_in(ZERO)));
    }
    batch
}

fn question() -> Question {
    Question {
        key: EffectKey { saga: id_in(ZERO), step: Arc::from("charge-payment"), round: 1 },
        kind: Kind::Action,
        attempt: 1,
    }
}

#[tokio::test]
async fn what_follows_a_transaction_without_an_end_is_durable() {
    for way in [Way::CommitFails, Way::Full, Way::Forgotten] {
        let mut file = File::new().await;
        let mut owner = Owner::of_all(&file.store).await;
        file.prepare(way).await;
        if !matches!(way, Way::Forgotten) {
            assert!(owner.commit(&large(&owner)).await.is_err(), "{way:?}");
        }
        assert_eq!(file.count("saga").await, 0, "{way:?}");
        // One that is rolled back comes between: what was open before would still be open after it.
        let mut deposed = owner.holding(ZERO);
        deposed.shards[0].epoch += 1;
        assert_eq!(owner.commit(&deposed).await.unwrap(), Committed::FenceLost(vec![ZERO]), "{way:?}");
        for stored in 1..=3 {
            owner.started(&saga(id_in(ZERO))).await;
            assert_eq!(file.count("saga").await, stored, "{way:?}: it was said to be stored");
        }
    }
}

#[tokio::test]
async fn what_the_workers_leave_behind_loses_nothing() {
    for way in [Way::CommitFails, Way::Full] {
        let mut file = File::new().await;
        let mut owner = Owner::of_all(&file.store).await;
        let db = Db::new(file.writer.clone()).unwrap();
        let (ledger, stock) = (SqlLedger::new(db.clone()), SqlStock::new(db, None));
        let (claim, lease) = (ClaimId::new(), Duration::from_secs(60));
        let questions: Vec<Question> = std::iter::repeat_with(question).take(500).collect();
        let change =
            |on_hand| Change { sku: uuid::Uuid::from_u128(7), on_hand, actor: None, reason: "a delivery".to_owned() };

        file.prepare(way).await;
        let failed = ledger.claim(claim, lease, &questions).await.unwrap_err();
        if matches!(way, Way::Full) {
            assert!(matches!(failed, Trouble::Away { part: Part::Database, .. }), "{failed}");
        }
        stock.set(&change(5)).await.unwrap();
        assert_eq!((file.count("stock").await, file.count("worker_ledger").await), (1, 0), "{way:?}");

        file.prepare(Way::CommitFails).await;
        stock.set(&change(6)).await.unwrap_err();
        owner.started(&saga(id_in(ZERO))).await;
        ledger.claim(claim, lease, &questions).await.unwrap();
        assert_eq!((file.count("saga").await, file.count("worker_ledger").await), (1, 500), "{way:?}");
        assert_eq!(stock.level(uuid::Uuid::from_u128(7)).await.unwrap().unwrap().on_hand, 5, "{way:?}");
    }
}

#[tokio::test]
async fn a_full_disk_shows_until_a_write_is_taken_again() {
    let file = File::new().await;
    let mut owner = Owner::of_all(&file.store).await;
    file.prepare(Way::Full).await;
    let batch = large(&owner);
    assert!(matches!(owner.commit(&batch).await, Err(StoreError::Unavailable(_))));
    let Err(StoreError::Unavailable(why)) = file.store.ping().await else { panic!("it shows nothing") };
    assert!(why.contains("the last write failed") && why.contains("database or disk is full"), "{why}");
    file.writer.execute_unprepared("PRAGMA max_page_count = 100000").await.unwrap();
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    file.store.ping().await.unwrap();
}
