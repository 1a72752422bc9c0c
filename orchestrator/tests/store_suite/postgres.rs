//! What only a server at the other end of a connection can do wrong.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator::store::postgres::{PINNED_PLANS, PostgresStore, STORE};
use orchestrator::store::rows::Batch;
use orchestrator::store::{Committed, Store, StoreError};
use saga_model::ids::ShardId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::fixtures::{LONG, Owner, definition, id_in, instance, key, reserved, saga};
use crate::proxy::{Proxy, Trap};
use crate::stores::{AnyStore, address_of, on_database, with_address};

const ZERO: ShardId = ShardId(0);

/// A store whose connections go through a proxy, and one beside it.
struct Behind {
    proxy: Proxy,
    store: AnyStore,
    direct: AnyStore,
}

impl Behind {
    async fn of(url: &str) -> Self {
        let proxy = Proxy::before(address_of(url)).await;
        let store = PostgresStore::open(&with_address(url, &proxy.address.to_string())).unwrap();
        Self { proxy, store: Arc::new(store), direct: Arc::new(PostgresStore::open(url).unwrap()) }
    }
}

fn start_of(owner: &Owner, write: &orchestrator::store::rows::SagaWrite) -> Batch {
    let mut batch = Batch::default();
    owner.start(&mut batch, write);
    batch
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    on_database(|url| async move {
        let mut behind = Behind::of(&url).await;
        let mut owner = Owner::of_all(&behind.store).await;
        let write = saga(id_in(ZERO));
        owner.started(&write).await;
        behind.proxy.stop().await;
        let store = &behind.store;
        let began = Instant::now();
        let batch = start_of(&owner, &saga(id_in(ZERO)));
        assert!(matches!(owner.commit(&batch).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(owner.commit(&batch).await, Err(StoreError::Unavailable(_))));
        let a = instance("a");
        let asked = tokio::join!(
            store.ping(),
            store.history(write.record.saga.id),
            store.heartbeat(&a, LONG),
            store.take_shard(ZERO, &a, LONG),
        );
        assert!(matches!(asked.0, Err(StoreError::Unavailable(_))), "{asked:?}");
        assert!(matches!(asked.1, Err(StoreError::Unavailable(_))), "{asked:?}");
        assert!(matches!(asked.2, Err(StoreError::Unavailable(_))), "{asked:?}");
        assert!(matches!(asked.3, Err(StoreError::Unavailable(_))), "{asked:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "three times at most five seconds");
        assert_eq!(behind.direct.rows_after(ZERO, 0, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_cut_before_the_commit_has_stored_nothing() {
    on_database(|url| async move {
        let behind = Behind::of(&url).await;
        let mut owner = Owner::of_all(&behind.store).await;
        let batch = start_of(&owner, &saga(id_in(ZERO)));
        behind.proxy.set(Trap::CutBefore("WITH inserted AS"));
        assert!(matches!(owner.commit(&batch).await, Err(StoreError::Unavailable(_))));
        assert!(behind.direct.rows_after(ZERO, 0, 10).await.unwrap().is_empty());
        assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    })
    .await;
}

#[tokio::test]
async fn a_connection_cut_at_the_commit_leaves_the_outcome_unknown() {
    on_database(|url| async move {
        let behind = Behind::of(&url).await;
        let mut owner = Owner::of_all(&behind.store).await;
        // The server never heard of it.
        let batch = start_of(&owner, &saga(id_in(ZERO)));
        behind.proxy.set(Trap::CutBefore("COMMIT\0"));
        assert!(matches!(owner.commit(&batch).await, Err(StoreError::OutcomeUnknown(_))));
        // Taking the shard again waits for the doubtful transaction, and tells what became of it.
        let grant = behind.store.take_shard(ZERO, &instance("a"), LONG).await.unwrap().unwrap();
        assert_eq!((grant.epoch, grant.last_seq), (2, 0));

        // The server has done it, and could not say so.
        let mut owner = Owner::of(&behind.store, "a", [ZERO]).await;
        let batch = start_of(&owner, &saga(id_in(ZERO)));
        behind.proxy.set(Trap::CutAfter("COMMIT\0"));
        assert!(matches!(owner.commit(&batch).await, Err(StoreError::OutcomeUnknown(_))));
        let grant = behind.store.take_shard(ZERO, &instance("a"), LONG).await.unwrap().unwrap();
        assert_eq!((grant.epoch, grant.last_seq), (4, 1));
    })
    .await;
}

#[tokio::test]
async fn a_frozen_transaction_is_ended_by_the_server() {
    on_database(|url| async move {
        let behind = Behind::of(&url).await;
        let mut frozen = Owner::of(&behind.store, "a", [ZERO]).await;
        let batch = start_of(&frozen, &saga(id_in(ZERO)));
        behind.proxy.set(Trap::FreezeBefore("WITH inserted AS"));
        let committing = tokio::spawn(async move { frozen.commit(&batch).await });
        behind.proxy.snapped().await;
        // It holds the lock of its shard now, and its lease has been given up. Whoever takes the shard waits for it,
        // and gets it as soon as the server has lost its patience.
        behind.direct.release_shard(ZERO, 1).await.unwrap();
        let mut next = Owner::of(&behind.direct, "b", [ZERO]).await;
        assert_eq!((next.marks[&ZERO].epoch, next.marks[&ZERO].last_seq), (2, 0));
        next.started(&saga(id_in(ZERO))).await;
        assert!(matches!(committing.await.unwrap(), Err(StoreError::Unavailable(_))));
        assert_eq!(behind.direct.rows_after(ZERO, 0, 10).await.unwrap().len(), 1);
    })
    .await;
}

/// A fence that has waited for the lock of the new owner sees the new epoch.
#[tokio::test]
async fn a_commit_that_waited_for_a_takeover_has_lost_its_fence() {
    on_database(|url| async move {
        let store: AnyStore = Arc::new(PostgresStore::open(&url).unwrap());
        let mut owner = Owner::of_all(&store).await;
        let write = saga(id_in(ZERO));
        owner.started(&write).await;
        let mut batch = Batch::default();
        owner.change(&mut batch, &reserved(&write));
        let mut takeover = PgConnection::connect(&url).await.unwrap();
        let mut transaction = takeover.begin().await.unwrap();
        let take = "UPDATE shard SET epoch = epoch + 1, owner = 'b' WHERE id = 0";
        sqlx::query(take).execute(&mut *transaction).await.unwrap();
        let committing = tokio::spawn(async move { owner.commit(&batch).await });
        // Until the server says that somebody waits for a lock.
        let mut watcher = PgConnection::connect(&url).await.unwrap();
        let waiting = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watcher).await.unwrap() == 0 {}
        transaction.commit().await.unwrap();
        assert_eq!(committing.await.unwrap().unwrap(), Committed::FenceLost(vec![ZERO]));
        assert_eq!(store.rows_after(ZERO, 0, 10).await.unwrap().len(), 1);
    })
    .await;
}

/// Wherever a caller is dropped, the transaction comes to its end and no connection is left inside one.
#[tokio::test]
async fn a_dropped_caller_leaves_no_transaction_open() {
    on_database(|url| async move {
        let store: AnyStore = Arc::new(PostgresStore::open(&url).unwrap());
        let owner = Owner::of_all(&store).await;
        for polls in 0..12 {
            let shard = ShardId(polls % 4);
            let grant = store.take_shard(shard, &instance("a"), LONG).await.unwrap().unwrap();
            let mut batch = Batch::default();
            owner.start(&mut batch, &saga(id_in(shard)));
            batch.shards[0].epoch = grant.epoch;
            batch.shards[0].last_seq = grant.last_seq + 1;
            batch.history[0].shard_seq = grant.last_seq + 1;
            let mut commit = store.commit(&batch);
            for _ in 0..=polls {
                if poll_once(&mut commit).await {
                    break;
                }
            }
            drop(commit);
            // Taking the shard waits for it: it is stored, because it was begun.
            while store.rows_after(shard, grant.last_seq, 10).await.unwrap().is_empty() {}
        }
        let mut watcher = PgConnection::connect(&url).await.unwrap();
        let open = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        assert_eq!(sqlx::query_scalar::<_, i64>(open).fetch_one(&mut watcher).await.unwrap(), 0);
    })
    .await;
}

/// A load that has taken all connections for requests must not keep the engine from working it off.
#[tokio::test]
async fn the_engine_has_connections_that_no_request_takes() {
    on_database(|url| async move {
        let store: AnyStore = Arc::new(PostgresStore::open(&url).unwrap());
        let mut owner = Owner::of_all(&store).await;
        let write = saga(id_in(ZERO));
        owner.started(&write).await;
        let mut locker = PgConnection::connect(&url).await.unwrap();
        let mut lock = locker.begin().await.unwrap();
        sqlx::query("LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let asking = (0..8).map(|number| {
            let (store, key) = (Arc::clone(&store), key(&number.to_string(), write.record.saga.id).key);
            tokio::spawn(async move { store.key(&key).await })
        });
        let asking: Vec<_> = asking.collect();
        let mut watcher = PgConnection::connect(&url).await.unwrap();
        let waiting = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let all_wait =
            async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watcher).await.unwrap() < 8 {} };
        tokio::time::timeout(Duration::from_secs(60), all_wait).await.expect("each of them has a connection");
        assert!(store.heartbeat(&instance("a"), LONG).await.is_ok());
        assert_eq!(store.sagas(&[write.record.saga.id]).await.unwrap().len(), 1);
        assert_eq!(store.live_sagas(ZERO, None, 10).await.unwrap().sagas.len(), 1);
        assert_eq!(store.rows_after(ZERO, 0, 10).await.unwrap().len(), 1);
        assert!(store.pending_requests(&[ZERO]).await.unwrap().is_empty());
        lock.rollback().await.unwrap();
        for asking in asking {
            // Answered now, unless the server has lost its patience before.
            let _answer = asking.await.unwrap();
        }
    })
    .await;
}

/// What is begun inside a transaction is a SAVEPOINT, and its end no commit.
#[tokio::test]
async fn a_connection_inside_a_transaction_is_not_used_again() {
    on_database(|url| async move {
        let store = PostgresStore::open(&url).unwrap();
        let pool = store.connection().get_postgres_connection_pool();
        let mut connection = pool.acquire().await.unwrap();
        std::mem::forget(connection.begin().await.unwrap());
        drop(connection);
        // It goes back to the pool in a task of its own.
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
        let pinned = store.pin_definition(&definition()).await.unwrap();
        let other = PostgresStore::open(&url).unwrap();
        assert_eq!(other.definitions().await.unwrap(), [(pinned, definition())]);
    })
    .await;
}

/// Polls a future once, and gives everything else a turn; whether it was ready.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    let ready = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    });
    let ready = ready.await;
    tokio::task::yield_now().await;
    ready
}

/// Plans are made once, and may be made while a table holds a few rows: they look up by index what a batch names.
#[tokio::test]
async fn what_a_batch_changes_is_looked_up_however_small_the_table_is() {
    on_database(|url| async move {
        let store: AnyStore = Arc::new(PostgresStore::open(&url).unwrap());
        let mut owner = Owner::of_all(&store).await;
        let options = PgConnectOptions::from_str(&url).unwrap().options(PINNED_PLANS);
        let mut session = options.connect().await.unwrap();
        session.execute(AssertSqlSafe(format!("PREPARE store AS {STORE}"))).await.unwrap();
        // Autovacuum analyzes a table after 50 changes at the earliest: the four transitions of 12 sagas.
        for rows in [0, 12] {
            for _ in 0..rows {
                owner.started(&saga(id_in(ZERO))).await;
            }
            if rows > 0 {
                session.execute("ANALYZE saga").await.unwrap();
            }
            let none = vec!["'{}'"; 55].join(", ");
            let plan = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("EXPLAIN EXECUTE store({none})")));
            let plan = plan.fetch_all(&mut session).await.unwrap().join("\n");
            let updates = plan.split_once("Update on saga").unwrap().1;
            let by_index =
                ["Index Cond: (id = u.id)", "Index Cond: (id = f.id)"].iter().all(|how| updates.contains(how));
            assert!(by_index && !updates.contains("Join Filter"), "{rows}: {plan}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_takeover_looks_at_so_many_sagas_at_once_and_no_more() {
    on_database(|url| async move {
        let store: AnyStore = Arc::new(PostgresStore::open(&url).unwrap());
        let mut owner = Owner::of_all(&store).await;
        let mut session = PgConnection::connect(&url).await.unwrap();
        let ended =
            "INSERT INTO saga (id, slot, definition_id, input, state, status, order_status, active, held, revision,
                created_at, updated_at, traceparent)
            SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 0, 1, '{}', '{}', 'COMPLETED',
                'CONFIRMED', false, false, 1, 1, 1, ''
            FROM generate_series(1, 120000) n";
        session.execute(ended).await.unwrap();
        let write = saga(id_in(ZERO));
        owner.started(&write).await;
        let (mut pages, mut found, mut after) = (0, Vec::new(), None);
        loop {
            let page = store.live_sagas(ZERO, after, 10).await.unwrap();
            pages += 1;
            found.extend(page.sagas.iter().map(|live| live.record.saga.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((pages, found), (3, vec![write.record.saga.id]));
    })
    .await;
}
