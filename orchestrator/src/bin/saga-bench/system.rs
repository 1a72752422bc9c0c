//! The system under load: our processes, and the services that they stand on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::{Connection, Row};

use crate::cpu::{self, CpuTimes};
use crate::memory;
use crate::report::LOAD;
use crate::straw::Pattern;

/// The processes under load. Dropping it ends them.
pub struct System {
    serve: Child,
    workers: Child,
    address: String,
    database_url: String,
    admin_url: String,
    database: String,
    prefix: String,
    services: BTreeMap<String, u32>,
    logs: PathBuf,
    http: reqwest::Client,
}

/// What is known at one moment.
pub struct Sample {
    pub at: i64,
    pub instant: Instant,
    pub finished: u64,
    pub cpu: CpuTimes,
}

/// Milliseconds from the order's acceptance to the end of its saga, as the history has it.
pub struct Latencies {
    pub count: i64,
    pub p50: f64,
    pub p99: f64,
}

impl System {
    pub async fn start() -> anyhow::Result<Self> {
        let admin_url = variable("DATABASE_URL")?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let database = format!("saga_bench_{id}");
        execute(&admin_url, &format!("CREATE DATABASE {database}")).await?;
        let database_url = beside(&admin_url, &database)?;
        let address = free_address()?;
        let logs = tempfile::Builder::new().prefix("saga-bench-").tempdir()?.keep();
        let prefix = format!("b{}.", &id[..12]);
        let env = |http: &str| {
            [
                ("DATABASE_URL", database_url.clone()),
                ("KAFKA_TOPIC_PREFIX", prefix.clone()),
                ("HTTP_ADDR", http.to_owned()),
                ("INVENTORY_DEFAULT_STOCK", "1000000".to_owned()),
                ("LOG_FORMAT", "json".to_owned()),
                ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned())),
            ]
        };
        let migrated = binary("saga")?.arg("migrate").envs(env("127.0.0.1:0")).status()?;
        if !migrated.success() {
            bail!("saga migrate failed");
        }
        let serve = spawn(binary("saga")?.arg("serve").envs(env(&address)), &logs.join("serve.log"))?;
        let kinds = ["inventory", "payment", "notification"];
        let worker_address = free_address()?;
        let workers = spawn(binary("worker")?.args(kinds).envs(env(&worker_address)), &logs.join("workers.log"))?;
        let services = service_pids();
        // The server closes what was idle for a minute, just when it is used again.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let system = Self { prefix, serve, workers, address, database_url, admin_url, database, services, logs, http };
        system.ready(&worker_address).await?;
        system.ready(&system.address).await?;
        Ok(system)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    async fn ready(&self, address: &str) -> anyhow::Result<()> {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..600 {
            pace.tick().await;
            let answer = reqwest::get(format!("http://{address}/readyz")).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
        }
        bail!("{address} does not become ready; see {}", self.logs.display())
    }

    /// The services' processes, by name.
    pub fn services(&self) -> &BTreeMap<String, u32> {
        &self.services
    }

    /// What an order of the run was stored and sent as.
    pub async fn pattern(&self) -> anyhow::Result<Pattern> {
        Pattern::of(&self.database_url, &self.admin_url, &self.prefix).await
    }

    /// Sagas that have ended since the start of `saga serve`.
    pub async fn finished(&self) -> anyhow::Result<u64> {
        let text = self.http.get(format!("http://{}/metrics", self.address)).send().await?.text().await?;
        let counts = text.lines().filter(|line| line.starts_with("saga_finished_total{"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    pub async fn sample(&self) -> anyhow::Result<Sample> {
        let mut cpu = CpuTimes::new();
        cpu.insert("orchestrator".to_owned(), cpu::of_tree(self.serve.id()));
        cpu.insert("workers".to_owned(), cpu::of_tree(self.workers.id()));
        for (name, pid) in &self.services {
            cpu.insert(name.clone(), cpu::of_tree(*pid));
        }
        cpu.insert(LOAD.to_owned(), cpu::of_tree(std::process::id()) - cpu["orchestrator"] - cpu["workers"]);
        let mut sql = sqlx::PgConnection::connect(&self.database_url).await?;
        let now = "SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let at = sqlx::query(now).fetch_one(&mut sql).await?.get(0);
        Ok(Sample { at, instant: Instant::now(), finished: self.finished().await?, cpu })
    }

    pub async fn latencies(&self, from: i64, to: i64) -> anyhow::Result<Latencies> {
        let mut sql = sqlx::PgConnection::connect(&self.database_url).await?;
        let query =
            "SELECT count(*), coalesce(percentile_cont(0.5) within group (order by updated_at - created_at), 0),
                     coalesce(percentile_cont(0.99) within group (order by updated_at - created_at), 0)
                     FROM saga WHERE NOT active AND updated_at BETWEEN $1 AND $2";
        let row = sqlx::query(query).bind(from).bind(to).fetch_one(&mut sql).await?;
        Ok(Latencies { count: row.get(0), p50: row.get::<f64, _>(1) / 1000.0, p99: row.get::<f64, _>(2) / 1000.0 })
    }

    /// Memory in use (resident) by the orchestrator and by the workers, in MiB.
    pub fn memory(&self) -> (f64, f64) {
        (memory::of(self.serve.id()), memory::of(self.workers.id()))
    }

    /// Waits until every saga has ended; how many there are, and how many have ended.
    pub async fn settled(&self, patience: Duration) -> anyhow::Result<(u64, u64)> {
        let mut sql = sqlx::PgConnection::connect(&self.database_url).await?;
        let mut pace = tokio::time::interval(Duration::from_secs(1));
        let until = Instant::now() + patience;
        loop {
            pace.tick().await;
            let query = "SELECT count(*), count(*) FILTER (WHERE NOT active) FROM saga";
            let row = sqlx::query(query).fetch_one(&mut sql).await?;
            let (stored, ended) = (row.get::<i64, _>(0).cast_unsigned(), row.get::<i64, _>(1).cast_unsigned());
            if stored == ended || Instant::now() > until {
                return Ok((stored, ended));
            }
        }
    }

    /// `saga audit` of the database.
    pub fn audit(&self) -> anyhow::Result<()> {
        let audited = binary("saga")?.arg("audit").env("DATABASE_URL", &self.database_url).status()?;
        if !audited.success() {
            bail!("saga audit found violations");
        }
        Ok(())
    }

    /// Ends the processes and removes the database.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end();
        std::fs::remove_dir_all(&self.logs)?;
        let drop_it = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        Command::new("psql").args([&self.admin_url, "-qc", &drop_it]).status()?;
        Ok(())
    }

    fn end(&mut self) {
        for child in [&mut self.serve, &mut self.workers] {
            // Already ended is ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.end();
    }
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run deploy/bench, or deploy/local/services up"))
}

/// The address of another database of the same server.
pub fn beside(url: &str, database: &str) -> anyhow::Result<String> {
    let (server, _) = url.rsplit_once('/').context("DATABASE_URL ends with a database")?;
    Ok(format!("{server}/{database}"))
}

pub async fn execute(url: &str, statement: &str) -> anyhow::Result<()> {
    let mut sql = sqlx::PgConnection::connect(url).await.context("Postgres does not answer")?;
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut sql).await?;
    Ok(())
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// A binary built beside this one.
fn binary(name: &str) -> anyhow::Result<Command> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: cargo build --workspace with the same profile", path.display());
    }
    Ok(Command::new(path))
}

fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(log)?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

/// The services started by deploy/local/services in `SAGA_SERVICES_DIR`: pids/NAME.
fn service_pids() -> BTreeMap<String, u32> {
    let Some(folder) = std::env::var_os("SAGA_SERVICES_DIR") else { return BTreeMap::new() };
    let Ok(entries) = std::fs::read_dir(Path::new(&folder).join("pids")) else { return BTreeMap::new() };
    let pid = |path: PathBuf| -> Option<(String, u32)> {
        let text = std::fs::read_to_string(&path).ok()?;
        let name = path.file_stem()?.to_string_lossy().into_owned();
        Some((name, text.split_ascii_whitespace().next()?.parse().ok()?))
    };
    entries.flatten().filter_map(|entry| pid(entry.path())).collect()
}
