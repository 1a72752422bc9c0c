//! Kill anything: what was answered 200 ends as it should, and the books balance.

mod support;

use support::{Stack, orders_survive};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_orders_survive_kills_of_everything() {
    let mut stack = Stack::prepare(&[("INVENTORY_DEFAULT_STOCK", "1000")]).await;
    let workers = ["inventory", "payment", "notification"];
    stack.serve("serve", &[]);
    for kind in workers {
        stack.worker(kind, &[kind], &[]);
    }
    stack.worker("books", &["inventory", "payment", "notification"], &[]);
    for name in ["serve", "inventory", "payment", "notification", "books"] {
        stack.ready(name).await;
    }
    let (clients, books) = ([stack.client("serve")], stack.client("books"));
    let killer = async {
        for round in 0..3 {
            for name in ["serve", "inventory", "payment", "notification"] {
                // The next one falls when the system has made some progress since the last.
                wait_for_progress(&stack, round).await;
                stack.process(name).kill();
                match name {
                    "serve" => stack.serve("serve", &[]),
                    kind => stack.worker(kind, &[kind], &[]),
                }
            }
        }
    };
    orders_survive(&clients, &books, 300, killer).await;
    stack.audit();
}

/// Waits until some more history has been written.
async fn wait_for_progress(stack: &Stack, _round: usize) {
    use sqlx::Row;
    let mut sql = stack.sql().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
    let count = "SELECT count(*) FROM history";
    let before: i64 = sqlx::query(count).fetch_one(&mut sql).await.unwrap().get(0);
    for _ in 0..100 {
        pace.tick().await;
        let now: i64 = sqlx::query(count).fetch_one(&mut sql).await.unwrap().get(0);
        if now >= before + 60 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_the_load_and_one_takes_over() {
    let mut stack = Stack::prepare(&[("INVENTORY_DEFAULT_STOCK", "1000")]).await;
    stack.serve("one", &[]);
    stack.serve("two", &[]);
    stack.worker("books", &["inventory", "payment", "notification"], &[]);
    for name in ["one", "two", "books"] {
        stack.ready(name).await;
    }
    let clients = [stack.client("one"), stack.client("two")];
    let books = stack.client("books");
    shares(&stack, &[2, 2]).await;
    let killer = async {
        wait_for_progress(&stack, 0).await;
        stack.process("one").kill();
        shares(&stack, &[4]).await;
        stack.serve("one", &[]);
        shares(&stack, &[2, 2]).await;
    };
    orders_survive(&clients, &books, 100, killer).await;
    stack.audit();
}

/// Waits until the shards are shared so among the living owners.
async fn shares(stack: &Stack, wanted: &[i64]) {
    use sqlx::Row;
    let mut sql = stack.sql().await;
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    let query = "SELECT count(*) FROM shard WHERE lease_until > extract(epoch from clock_timestamp()) * 1000000
                 AND owner IS NOT NULL GROUP BY owner ORDER BY owner";
    for _ in 0..300 {
        pace.tick().await;
        let rows = sqlx::query(query).fetch_all(&mut sql).await.unwrap();
        let shares: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        if shares == wanted {
            return;
        }
    }
    panic!("the shards were never shared {wanted:?}");
}
