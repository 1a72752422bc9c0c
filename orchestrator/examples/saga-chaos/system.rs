//! The system under test: our processes, started again like by any supervisor, each behind proxies of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::fault::{Service, Worker, parts};
use crate::findings::Findings;
use crate::proxy::{Proxy, Weather};
use crate::services::{Services, signal};
use crate::support::{Client, binary_path};

/// The secret of the operator's key.
const ADMIN: &str = "chaos-admin-secret";
/// Settings of all our processes: short times, so that much happens in a run. No fault that is planned may use up
/// the attempts of a step.
const SETTINGS: [(&str, &str); 9] = [
    ("STEP_TIMEOUT", "2s"),
    ("STEP_ATTEMPTS", "6"),
    ("RETRY_BASE", "100ms"),
    ("RETRY_CAP", "1s"),
    ("LEASE_TIMEOUT", "3s"),
    ("INVENTORY_DEFAULT_STOCK", "1000000"),
    ("LOG_FORMAT", "json"),
    ("RUST_LOG", "info"),
    ("KAFKA_PARTITIONS", "4"),
];
pub struct System {
    pub services: Services,
    folder: PathBuf,
    pub findings: Arc<Findings>,
    pub parts: BTreeMap<String, Part>,
    edges: BTreeMap<(String, Service), Proxy>,
    /// In front of the HTTP of each orchestrator: clients come through them.
    doors: BTreeMap<String, Proxy>,
}

pub struct Part {
    binary: &'static str,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    address: String,
    /// None while it is not meant to run.
    pub child: Mutex<Option<Child>>,
}

impl System {
    /// Starts everything and waits until it is ready.
    pub async fn start(folder: &Path, instances: usize, findings: Arc<Findings>) -> anyhow::Result<Self> {
        let (names, mut ports) = (parts(instances), Ports::any());
        let (mut edges, mut kafka_edges) = (BTreeMap::new(), Vec::new());
        for name in &names {
            let port = ports.free()?;
            let proxy = Proxy::before(format!("127.0.0.1:{port}")).await?;
            kafka_edges.push(format!("{port}:{}", proxy.address.port()));
            edges.insert((name.clone(), Service::Kafka), proxy);
        }
        let services = Services::up(folder, kafka_edges.join(" ")).await?;
        for name in &names {
            for (service, url) in [(Service::Postgres, "DATABASE_URL"), (Service::Redis, "REDIS_URL")] {
                edges.insert((name.clone(), service), Proxy::before(host_and_port(services.url(url))).await?);
            }
        }
        let (mut all, mut doors) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let address = format!("127.0.0.1:{}", ports.free()?);
            let kind = name.split('-').next().unwrap_or_default();
            let (binary, arg) = if kind == "serve" { ("saga", "serve") } else { ("worker", kind) };
            if kind == "serve" {
                doors.insert(name.clone(), Proxy::before(address.clone()).await?);
            }
            let proxied = |service| edges[&(name.clone(), service)].address.to_string();
            let mut env = settings();
            env.insert("HTTP_ADDR".to_owned(), address.clone());
            env.insert("DATABASE_URL".to_owned(), format!("postgres://saga@{}/saga", proxied(Service::Postgres)));
            env.insert("KAFKA_BROKERS".to_owned(), proxied(Service::Kafka));
            env.insert("REDIS_URL".to_owned(), format!("redis://{}", proxied(Service::Redis)));
            let part = Part { binary, args: vec![arg.to_owned()], env, address, child: Mutex::new(None) };
            all.insert(name, part);
        }
        std::fs::create_dir_all(folder.join("ours"))?;
        let system = Self { services, folder: folder.to_owned(), findings, parts: all, edges, doors };
        system.migrate().await?;
        for name in system.names() {
            system.run(&name).await?;
        }
        system.all_ready().await?;
        Ok(system)
    }

    /// `saga migrate`, as an operator would run it: again until it is done.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let mut pace = tokio::time::interval(Duration::from_secs(1));
        let mut last = None;
        for _ in 0..60 {
            pace.tick().await;
            let migrated = self.command(&["migrate"], "migrate")?.status().await?;
            if migrated.success() {
                return Ok(());
            }
            last = Some(migrated);
        }
        bail!("saga migrate: {last:?}, see {}/ours/migrate.log", self.folder.display())
    }

    pub fn names(&self) -> Vec<String> {
        self.parts.keys().cloned().collect()
    }

    /// Clients of all orchestrators, through their doors.
    pub fn doors(&self) -> Vec<Client> {
        self.doors.values().map(|door| Client::new(format!("http://{}", door.address))).collect()
    }

    /// The same with the operator's key.
    pub fn operators(&self) -> Vec<Client> {
        self.doors().iter().map(|door| door.with_key(ADMIN)).collect()
    }

    /// A client of a process with the operator's key, past the doors.
    pub fn client(&self, name: &str) -> Client {
        let address = self.parts.get(name).map_or("", |part| &part.address);
        Client::new(format!("http://{address}")).with_key(ADMIN)
    }

    /// The same of all orchestrators.
    pub fn instances(&self) -> Vec<Client> {
        self.doors.keys().map(|name| self.client(name)).collect()
    }

    /// The weather on the way of a process to a service.
    pub fn weather(&self, part: &str, service: Service, weather: Weather) {
        if let Some(edge) = self.edges.get(&(part.to_owned(), service)) {
            edge.set(weather);
        }
    }

    /// The weather on the way of clients to an orchestrator.
    pub fn weather_of_clients(&self, part: &str, weather: Weather) {
        if let Some(door) = self.doors.get(part) {
            door.set(weather);
        }
    }

    /// A command of `saga`, past the proxies; its output goes to a log.
    pub fn command(&self, args: &[&str], log: &str) -> anyhow::Result<Command> {
        let mut env = settings();
        for name in ["DATABASE_URL", "KAFKA_BROKERS", "REDIS_URL"] {
            env.insert(name.to_owned(), self.services.url(name).to_owned());
        }
        self.prepared("saga", args, &env, log)
    }

    fn prepared(
        &self,
        binary: &str,
        args: &[impl AsRef<std::ffi::OsStr>],
        env: &BTreeMap<String, String>,
        log: &str,
    ) -> anyhow::Result<Command> {
        let path = self.folder.join(format!("ours/{log}.log"));
        let log = std::fs::File::options().create(true).append(true).open(path)?;
        let mut command = Command::new(binary_path(binary));
        command.args(args).env_clear().envs(env).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// Starts a process of ours, if it does not run.
    pub async fn run(&self, name: &str) -> anyhow::Result<()> {
        let part = self.part(name)?;
        let mut child = part.child.lock().await;
        if child.is_none() {
            *child = Some(self.prepared(part.binary, &part.args, &part.env, name)?.spawn()?);
        }
        Ok(())
    }

    /// SIGKILL; it does not come back by itself.
    pub async fn kill(&self, name: &str) -> anyhow::Result<()> {
        if let Some(mut child) = self.part(name)?.child.lock().await.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Sends a signal to a process of ours, if it runs.
    pub async fn signal(&self, name: &str, sent: &str) -> anyhow::Result<()> {
        let child = self.part(name)?.child.lock().await;
        match child.as_ref().and_then(Child::id) {
            Some(pid) => signal(sent, &[pid]).await,
            None => Ok(()),
        }
    }

    /// One more worker, at the edges of the first of its kind.
    pub fn extra(&self, worker: Worker) -> anyhow::Result<Child> {
        let part = self.part(&worker.parts()[0])?;
        let mut env = part.env.clone();
        env.insert("HTTP_ADDR".to_owned(), "127.0.0.1:0".to_owned());
        Ok(self.prepared(part.binary, &part.args, &env, &format!("{}-extra", worker.name()))?.spawn()?)
    }

    fn part(&self, name: &str) -> anyhow::Result<&Part> {
        self.parts.get(name).with_context(|| format!("no process is named {name}"))
    }

    /// Ends all processes of ours.
    pub async fn stop(&self) -> anyhow::Result<()> {
        for name in self.parts.keys() {
            self.kill(name).await?;
        }
        Ok(())
    }
}

fn settings() -> BTreeMap<String, String> {
    let keys = ("SAGA_API_KEYS".to_owned(), format!("operator:{ADMIN}:admin"));
    SETTINGS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain([keys]).collect()
}

fn host_and_port(url: &str) -> String {
    let rest = url.split("//").last().unwrap_or_default();
    let rest = rest.split('@').next_back().unwrap_or_default();
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// Free ports, each once, outside the range from which the system takes ports for connections: nobody gets one by
/// chance while its process is down.
struct Ports(std::ops::Range<u16>);

impl Ports {
    fn any() -> Self {
        Self(fastrand::u16(30_000..31_500)..32_000)
    }

    fn free(&mut self) -> anyhow::Result<u16> {
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        self.0.by_ref().find(free).context("no free port between 30000 and 32000")
    }
}
