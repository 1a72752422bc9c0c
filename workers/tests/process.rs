//! The `worker` process as whoever starts it sees it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::cluster::{PATIENCE, Town};
use common::commands::{Ask, new_saga, payload, short};
use common::database::{database_url, setting};
use saga_model::SagaId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

/// A command line of `worker` in an environment of its own.
fn worker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(arguments).env_clear().env("HTTP_ADDR", "127.0.0.1:0").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same with everything real.
fn real(arguments: &[&str], town: &Town, database: &str) -> Command {
    let mut command = worker(arguments);
    command
        .env("DATABASE_URL", database)
        .env("KAFKA_BROKERS", setting("KAFKA_BROKERS"))
        .env("KAFKA_TOPIC_PREFIX", &town.prefix)
        .env("REDIS_URL", setting("REDIS_URL"))
        .env("SAGA_API_KEYS", "ops:secret:admin");
    command
}

/// Runs to the end: the exit code, standard output, standard error.
async fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A process that runs.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Running {
    /// Starts it, and reads where it listens.
    async fn start(mut command: Command) -> Self {
        // What it logs must not fill a pipe that nobody reads.
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it listens").unwrap().unwrap();
        let url = line.strip_prefix("listening on ").expect("it says where").to_owned();
        Self { child, lines, url }
    }

    async fn ready(mut self) -> Self {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it gets ready").unwrap();
        assert_eq!(line.as_deref(), Some("worker ready"));
        self
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn readyz(&self) -> (u16, Value) {
        let (status, text) = self.get("/readyz").await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Waits until `/readyz` says so.
    async fn until(&self, what: impl Fn(u16, &Value) -> bool) -> Value {
        let seen = async {
            loop {
                let (status, readiness) = self.readyz().await;
                if what(status, &readiness) {
                    return readiness;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("in time")
    }

    /// Asks it to end, which it does with 0 within ten seconds.
    async fn terminate(mut self) {
        let began = Instant::now();
        self.signal("TERM").await;
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it still runs after {:?}", began.elapsed())).unwrap();
        assert_eq!(status.code(), Some(0));
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().await.unwrap().success());
    }
}

#[tokio::test]
async fn wrong_usage_is_2() {
    let complete = |arguments: &[&str]| {
        let mut command = worker(arguments);
        command.env("DATABASE_URL", "postgres://u@127.0.0.1:1/d").env("KAFKA_BROKERS", "127.0.0.1:1");
        command
    };
    let with = |name: &str, value: &str| {
        let mut command = complete(&["payment"]);
        command.env(name, value);
        command
    };
    for (command, says) in [
        (worker(&["payment"]), "DATABASE_URL"),
        (complete(&["shipping"]), "shipping"),
        (complete(&["payment", "--no-such-flag"]), "no-such-flag"),
        (complete(&["inventory"]), "REDIS_URL"),
        (with("PAYMENT_SUCCESS_RATE", "2"), "from 0 to 1"),
        (with("INVENTORY_DEFAULT_STOCK", "-1"), "INVENTORY_DEFAULT_STOCK"),
        (with("STEP_TIMEOUT", "0s"), "above 0"),
        (with("SAGA_API_KEYS", "a:b:c"), "scope"),
        (with("SAGA_OPEN_SCOPES", "admin"), "admin"),
        (with("HTTP_ADDR", "nowhere"), "host:port"),
    ] {
        let (code, _, error) = ended(command).await;
        assert_eq!(code, Some(2), "{says}: {error}");
        let flag = says.to_lowercase().replace('_', "-");
        assert!(error.contains(says) || error.contains(&flag), "{says}: {error}");
    }
    let (code, _, error) = ended(worker(&[])).await;
    assert_eq!(code, Some(2));
    assert!(error.contains("Usage: worker"), "{error}");
    let (code, help, _) = ended(worker(&["--help"])).await;
    assert_eq!(code, Some(0));
    for word in ["Examples:", "inventory", "payment", "notification", "--step-timeout", "PAYMENT_SUCCESS_RATE"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[tokio::test]
async fn what_a_person_has_to_mend_is_1() {
    let town = Town::new().await;
    let (code, _, error) = ended(real(&["payment"], &town, &database_url(false).await)).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("saga migrate"), "{error}");

    let database = database_url(true).await;
    let (code, _, error) = ended(real(&["payment"], &Town::without_topics(), &database)).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("payment.commands") && error.contains("saga migrate"), "{error}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = real(&["payment"], &town, &database);
    command.env("HTTP_ADDR", taken.local_addr().unwrap().to_string());
    let (code, _, error) = ended(command).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("HTTP_ADDR"), "{error}");
    drop(taken);

    // Another number of shards in the database than partitions of the replies.
    let connection = sea_orm::Database::connect(&database).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&connection, "DELETE FROM shard WHERE id >= 2").await.unwrap();
    let (code, _, error) = ended(real(&["payment"], &town, &database)).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("4 partitions") && error.contains("2 shards"), "{error}");
}

#[tokio::test]
async fn all_three_in_one_process() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let mut command = real(&["inventory", "payment", "notification", "payment"], &town, &database);
    command.args(["--inventory-default-stock", "7"]);
    let running = Running::start(command).await.ready().await;
    let readiness = running.until(|status, readiness| status == 200 && readiness["status"] == "ready").await;
    let dependencies: Vec<&String> = readiness["dependencies"].as_object().unwrap().keys().collect();
    assert_eq!(dependencies, ["kafka", "postgres", "redis"]);
    assert_eq!(running.get("/livez").await.0, 200);

    let mut replies = town.reader("saga.replies");
    let (saga, sku) = (new_saga(), Uuid::new_v4());
    let order = payload(saga, &[(sku, 2)], Some("pm_approve"));
    for (topic, step) in [
        ("inventory.commands", "reserve-inventory"),
        ("payment.commands", "charge-payment"),
        ("notification.commands", "notify-customer"),
    ] {
        town.ask(topic, &Ask::action(saga, step, order.clone())).await;
        assert_eq!(short(&replies.replies(1).await[0]), "SUCCEEDED");
    }
    let json = async |path: &str| -> Value { serde_json::from_str(&running.get(path).await.1).unwrap() };
    let level = json!({"sku": sku, "onHand": 7, "available": 5, "reserved": 2, "sold": 0});
    assert_eq!(json(&format!("/inventory/{sku}")).await, level);
    assert_eq!(json(&format!("/payments?orderId={saga}")).await["entries"][0]["kind"], "CAPTURE");
    assert_eq!(json(&format!("/notifications?orderId={saga}")).await["entries"][0]["outcome"], "CONFIRMED");
    let (_, metrics) = running.get("/metrics").await;
    for worker in ["inventory", "payment", "notification"] {
        let line = format!(r#"worker_commands_total{{worker="{worker}",kind="ACTION",outcome="SUCCEEDED"}} 1"#);
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    // A first dead letter is seen to be one more.
    for topic in ["inventory.commands", "order.confirmed", "payment.commands", "notification.commands"] {
        let line = format!(r#"saga_dead_letters_total{{topic="{topic}",code="NOT_JSON"}} 0"#);
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let put = reqwest::Client::new().put(format!("{}/admin/inventory/{sku}", running.url)).bearer_auth("secret");
    let put = put.header("content-type", "application/json").body(r#"{"onHand": 3, "reason": "counted"}"#);
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_eq!(json(&format!("/inventory/{sku}")).await["available"], 1);
    running.terminate().await;
}

#[tokio::test]
async fn only_what_it_is_can_be_asked() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let running = Running::start(real(&["payment"], &town, &database)).await.ready().await;
    let (_, readiness) = running.readyz().await;
    assert_eq!(readiness["dependencies"].as_object().unwrap().len(), 2, "it needs no Redis: {readiness}");
    assert_eq!(running.get("/inventory").await.0, 404);
    assert_eq!(running.get("/payments?orderId=x").await.0, 400);
    running.terminate().await;
}

#[tokio::test]
async fn after_sigterm_new_connections_hear_that_it_is_not_ready() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let mut command = real(&["payment"], &town, &database);
    command.env("SHUTDOWN_GRACE", "4s");
    let mut running = Running::start(command).await.ready().await;
    running.signal("TERM").await;
    // Each of these is a client of its own, and a connection of its own.
    running.until(|status, readiness| status == 503 && readiness["status"] == "not ready").await;
    assert_eq!(running.get("/livez").await.0, 200);
    assert_eq!(running.get(&format!("/payments?orderId={}", Uuid::new_v4())).await.0, 200);
    let status = tokio::time::timeout(PATIENCE, running.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn what_is_away_is_waited_for() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut command = real(&["inventory"], &town, &database);
    command.env("DATABASE_URL", format!("postgres://u@{nobody}/d"));
    let running = Running::start(command).await;
    let readiness = running.until(|status, readiness| {
        status == 503
            && readiness["dependencies"]["postgres"]["detail"].as_str().is_some_and(|why| why != "not reached yet")
    });
    assert_eq!(readiness.await["status"], "not ready");
    assert_eq!(running.get("/livez").await.0, 200);
    let (status, problem) = running.get(&format!("/inventory/{}", Uuid::new_v4())).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.contains("UNAVAILABLE"), "{problem}");
    // A change is not made, and a refusal is not told that could not be recorded.
    let put = reqwest::Client::new().put(format!("{}/admin/inventory/{}", running.url, Uuid::new_v4()));
    let put = put.body(r#"{"onHand": 3, "reason": "counted"}"#);
    for call in [put.try_clone().unwrap().bearer_auth("secret"), put] {
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "UNAVAILABLE");
    }
    running.terminate().await;

    let mut command = real(&["inventory"], &town, &database);
    command.env("KAFKA_BROKERS", &nobody);
    let running = Running::start(command).await;
    let readiness = running.until(|status, readiness| status == 200 && readiness["status"] == "degraded").await;
    assert_eq!(readiness["dependencies"]["postgres"]["status"], "up");
    assert_eq!(readiness["dependencies"]["kafka"]["status"], "down");
    running.terminate().await;

    let mut command = real(&["inventory"], &town, &database);
    command.env("REDIS_URL", format!("redis://{nobody}"));
    let running = Running::start(command).await;
    running
        .until(|status, readiness| {
            let is = |name: &str, word| readiness["dependencies"][name]["status"] == word;
            status == 200 && is("kafka", "up") && is("redis", "down")
        })
        .await;
    running.terminate().await;
}

#[tokio::test]
async fn killed_in_the_middle_nothing_is_lost_or_done_twice() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let start = async || {
        let mut command = real(&["inventory", "payment"], &town, &database);
        command.env("INVENTORY_DEFAULT_STOCK", "1000000");
        Running::start(command).await.ready().await
    };
    let (mut doomed, mut other) = (start().await, start().await);
    let sku = Uuid::new_v4();
    let sagas: Vec<SagaId> = (0..400).map(|_| new_saga()).collect();
    let mut replies = town.reader("saga.replies");
    let mut answered: BTreeMap<SagaId, BTreeSet<String>> = BTreeMap::new();
    for (n, saga) in sagas.iter().enumerate() {
        let order = payload(*saga, &[(sku, 1)], Some("pm_approve"));
        town.ask("inventory.commands", &Ask::action(*saga, "reserve-inventory", order.clone())).await;
        town.ask("payment.commands", &Ask::action(*saga, "charge-payment", order)).await;
        if n % 130 == 65 {
            doomed.child.kill().await.unwrap();
            doomed = other;
            other = start().await;
        }
    }
    while answered.values().map(BTreeSet::len).sum::<usize>() < 2 * sagas.len() {
        let reply = replies.replies(1).await.remove(0);
        answered.entry(reply.saga_id).or_default().insert(format!("{} {}", reply.step, short(&reply)));
    }
    let both = ["charge-payment SUCCEEDED", "reserve-inventory SUCCEEDED"];
    assert!(answered.values().all(|answers| answers.iter().eq(both)), "{answered:?}");
    let (_, level) = other.get(&format!("/inventory/{sku}")).await;
    assert_eq!(serde_json::from_str::<Value>(&level).unwrap()["reserved"], 400);
    for saga in &sagas {
        let (_, entries) = other.get(&format!("/payments?orderId={saga}")).await;
        assert_eq!(serde_json::from_str::<Value>(&entries).unwrap()["entries"].as_array().unwrap().len(), 1);
    }
    doomed.terminate().await;
    other.terminate().await;
}

#[tokio::test]
async fn log_lines_are_found_by_the_order() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let mut command = real(&["payment", "notification", "inventory"], &town, &database);
    command.env("INVENTORY_DEFAULT_STOCK", "10");
    let mut child = command.spawn().unwrap();
    let mut error = child.stderr.take().unwrap();
    let mut replies = town.reader("saga.replies");
    let saga = new_saga();
    let order = payload(saga, &[(Uuid::new_v4(), 1)], Some("pm_approve"));
    for (topic, step) in [
        ("inventory.commands", "reserve-inventory"),
        ("payment.commands", "charge-payment"),
        ("notification.commands", "notify-customer"),
    ] {
        town.ask(topic, &Ask::action(saga, step, order.clone())).await;
        replies.replies(1).await;
    }
    child.kill().await.unwrap();
    let mut log = String::new();
    error.read_to_string(&mut log).await.unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line"));
    let of_order = lines.filter(|line| line["order.id"] == json!(saga));
    let messages: Vec<String> = of_order.map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(messages, ["Inventory reserved", "Payment success", "Notification sent"]);
}

/// A member comes while the topic is there, waits until the group lets it in, and is let in while the topic is not: it
/// gets nothing. When the topic is there again it looks to the library as when the member came, so that it never looked
/// again.
#[tokio::test]
async fn a_group_that_has_nothing_of_a_topic_that_is_there_joins_anew() {
    let (town, database) = (Town::new().await, database_url(true).await);
    let first = Running::start(real(&["payment"], &town, &database)).await.ready().await;
    // The group waits for it until it is taken for dead.
    first.signal("STOP").await;
    let second = Running::start(real(&["payment"], &town, &database)).await;
    town.wait_group("worker-payment", |state, _| state != "Stable").await;
    town.delete_topic("payment.commands").await;
    town.wait_group("worker-payment", |state, members| state == "Stable" && members == 1).await;
    town.make_topics().await;
    let mut replies = town.reader("saga.replies");
    let saga = new_saga();
    town.ask("payment.commands", &Ask::action(saga, "charge-payment", payload(saga, &[], Some("pm_approve")))).await;
    assert_eq!(short(&replies.replies(1).await[0]), "SUCCEEDED");
    first.signal("KILL").await;
    second.terminate().await;
}
