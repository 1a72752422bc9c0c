//! The whole system.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use sqlx::Connection;

use super::client::Client;
use super::process::{PATIENCE, Process};
use super::topics::TopicReader;

/// Settings of the processes beside the defaults of a stack.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// Real Postgres, Kafka and Redis; `saga serve` and workers as processes.
pub struct Stack {
    pub env: BTreeMap<String, String>,
    pub prefix: String,
    database: String,
    admin_url: String,
    pub processes: BTreeMap<String, Process>,
    addresses: BTreeMap<String, String>,
    keep: bool,
}

/// The secret of the admin key that every stack has.
pub const ADMIN: &str = "test-admin-secret";

/// A variable that `deploy/test` sets.
pub fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by deploy/test, or `. .local/env` after deploy/local/services up")
    })
}

static REDIS_NUMBER: AtomicU32 = AtomicU32::new(1);

impl Stack {
    /// A database, topics and settings of its own; nothing runs yet.
    pub async fn prepare(settings: Settings<'_>) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let admin_url = service("DATABASE_URL");
        let database = format!("saga_test_{id}");
        let mut connection = sqlx::PgConnection::connect(&admin_url).await.expect("Postgres answers");
        let statement = format!("CREATE DATABASE {database}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database can be made");
        let (base, _) = admin_url.rsplit_once('/').expect("DATABASE_URL ends with a database");
        // Redis has 16 numbers; a number that is used again is emptied first.
        let redis = format!(
            "{}/{}",
            service("REDIS_URL").trim_end_matches('/'),
            REDIS_NUMBER.fetch_add(1, Ordering::Relaxed) % 15 + 1
        );
        let prefix = format!("t{}.", &id[..12]);
        let defaults = [
            ("DATABASE_URL", format!("{base}/{database}")),
            ("KAFKA_BROKERS", service("KAFKA_BROKERS")),
            ("REDIS_URL", redis),
            ("KAFKA_TOPIC_PREFIX", prefix.clone()),
            ("SAGA_API_KEYS", format!("ops:{ADMIN}:admin")),
            ("INVENTORY_DEFAULT_STOCK", "100".to_owned()),
            ("STEP_TIMEOUT", "300ms".to_owned()),
            ("RETRY_BASE", "20ms".to_owned()),
            ("RETRY_CAP", "100ms".to_owned()),
            ("LEASE_TIMEOUT", "2s".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("RUST_LOG", "info".to_owned()),
        ];
        let mut env: BTreeMap<String, String> = defaults.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        env.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let (processes, addresses) = (BTreeMap::new(), BTreeMap::new());
        let mut stack = Self { env, prefix, database, admin_url, processes, addresses, keep: false };
        stack.flush_redis();
        let code = stack.run("saga", &["migrate"]).wait();
        assert_eq!(code, 0, "saga migrate");
        stack
    }

    /// The whole system with one `saga serve` and one process with all three workers, ready.
    pub async fn start(settings: Settings<'_>) -> Self {
        let mut stack = Self::prepare(settings).await;
        stack.serve("serve", &[]);
        stack.worker("workers", &["inventory", "payment", "notification"], &[]);
        stack.ready("serve").await;
        stack.ready("workers").await;
        stack
    }

    fn flush_redis(&mut self) {
        let url = self.env["REDIS_URL"].clone();
        let mut connection =
            redis::Client::open(url).expect("REDIS_URL is one").get_connection().expect("Redis answers");
        redis::cmd("FLUSHDB").exec(&mut connection).expect("Redis answers");
    }

    /// Runs a command of ours with the stack's settings.
    pub fn run(&self, binary: &str, args: &[&str]) -> Process {
        Process::start(binary, &binary_path(binary), args, &self.env)
    }

    fn launch(&mut self, name: &str, binary: &str, args: &[&str], settings: Settings<'_>) {
        let address = self.addresses.entry(name.to_owned()).or_insert_with(free_address).clone();
        let mut env = self.env.clone();
        env.insert("HTTP_ADDR".to_owned(), address);
        env.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let process = Process::start(name, &binary_path(binary), args, &env);
        self.processes.insert(name.to_owned(), process);
    }

    /// Starts a `saga serve`; the same name gets the same address again.
    pub fn serve(&mut self, name: &str, settings: Settings<'_>) {
        self.launch(name, "saga", &["serve"], settings);
    }

    /// Starts a worker process; the same name gets the same address again.
    pub fn worker(&mut self, name: &str, kinds: &[&str], settings: Settings<'_>) {
        self.launch(name, "worker", kinds, settings);
    }

    /// What `saga audit` says of the database: all holds.
    pub fn audit(&self) {
        let mut audit = self.run("saga", &["audit"]);
        assert_eq!(audit.wait(), 0, "{}", audit.output());
    }

    /// A client of that process.
    pub fn client(&self, name: &str) -> Client {
        Client::new(format!("http://{}", self.addresses[name]))
    }

    /// A client of that process with the admin key.
    pub fn admin(&self, name: &str) -> Client {
        self.client(name).with_key(ADMIN)
    }

    /// Waits until the process is ready.
    pub async fn ready(&self, name: &str) {
        let (client, until) = (self.client(name), Instant::now() + PATIENCE);
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            pace.tick().await;
            match client.try_send("GET", "/readyz", &[], None).await {
                Ok(reply) if reply.status == 200 && reply.body["status"] == "ready" => return,
                other => {
                    assert!(Instant::now() < until, "{name} is not ready: {other:?}\n{}", self.processes[name].output())
                }
            }
        }
    }

    pub fn process(&mut self, name: &str) -> &mut Process {
        self.processes.get_mut(name).expect("a process of this stack")
    }

    /// A reader of these topics of the stack.
    pub fn topics(&self, topics: &[&str]) -> TopicReader {
        TopicReader::new(&self.env["KAFKA_BROKERS"], &self.prefix, topics)
    }

    /// A connection to the stack's database.
    pub async fn sql(&self) -> sqlx::PgConnection {
        sqlx::PgConnection::connect(&self.env["DATABASE_URL"]).await.expect("Postgres answers")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.processes.clear();
        if std::thread::panicking() || self.keep {
            eprintln!("the database {} is kept", self.database);
            return;
        }
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        let done = Command::new("psql").args([&self.admin_url, "-qc", &drop_it]).output();
        if let Err(error) = done {
            eprintln!("the database {} is left behind: {error}", self.database);
        }
    }
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

/// Binaries of this build: tests lie in a folder beside them, and so do examples.
pub fn binary_path(name: &str) -> String {
    let own = std::env::current_exe().expect("a process knows its program");
    let folder = own.parent().and_then(std::path::Path::parent).expect("target/PROFILE/deps/TEST");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` first", path.display());
    path.to_string_lossy().into_owned()
}
