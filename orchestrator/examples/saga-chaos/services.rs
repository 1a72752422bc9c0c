//! Postgres, Kafka and Redis, as deploy/local/services starts them in a folder of this run.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sqlx::Connection;
use tokio::process::Command;

use crate::fault::Service;

pub struct Services {
    folder: PathBuf,
    script: PathBuf,
    /// For each port that Kafka listens at beside its own: the port that it tells those who come there.
    kafka_edges: String,
    urls: BTreeMap<String, String>,
}

impl Services {
    /// Starts them. `kafka_edges`: see `SAGA_KAFKA_EDGES` in deploy/local/lib/kafka.sh.
    pub async fn up(folder: &Path, kafka_edges: String) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the package lies in a workspace")?;
        let script = root.join("deploy/local/services");
        let mut services = Self { folder: folder.to_owned(), script, kafka_edges, urls: BTreeMap::new() };
        services.run(&["up"]).await?;
        let text = std::fs::read_to_string(services.folder.join("env"))?;
        let urls = text.lines().filter_map(|line| line.split_once('='));
        services.urls = urls.map(|(name, url)| (name.to_owned(), url.to_owned())).collect();
        Ok(services)
    }

    /// `DATABASE_URL`, `KAFKA_BROKERS` or `REDIS_URL`, without a proxy.
    pub fn url(&self, name: &str) -> &str {
        self.urls.get(name).map_or("", String::as_str)
    }

    async fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("services.log"))?;
        let mut command = Command::new(&self.script);
        command.args(args).env("SAGA_LOCAL_DIR", &self.folder).env("SAGA_KAFKA_EDGES", &self.kafka_edges);
        let status = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).status().await?;
        if !status.success() {
            bail!("deploy/local/services {}: {status}, see {}/services.log", args.join(" "), self.folder.display());
        }
        Ok(())
    }

    /// SIGKILL, at once: the script would wait for its lock while it starts another service.
    pub async fn kill(&self, service: Service) -> anyhow::Result<()> {
        signal("KILL", &[self.pid(service)?]).await
    }

    pub async fn start(&self, service: Service) -> anyhow::Result<()> {
        self.run(&["start", service.name()]).await
    }

    /// SIGSTOP of all of its processes.
    pub async fn freeze(&self, service: Service) -> anyhow::Result<()> {
        // The parent first: it makes no more children.
        signal("STOP", &[self.pid(service)?]).await?;
        signal("STOP", &children(self.pid(service)?)).await
    }

    /// SIGCONT of all of them.
    pub async fn thaw(&self, service: Service) -> anyhow::Result<()> {
        let pid = self.pid(service)?;
        let mut all = children(pid);
        all.push(pid);
        signal("CONT", &all).await
    }

    fn pid(&self, service: Service) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.folder.join(format!("pids/{}.pid", service.name())))?;
        Ok(text.split_ascii_whitespace().next().context("an empty pid file")?.parse()?)
    }

    pub async fn flush_redis(&self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.url("REDIS_URL"))?;
        let mut connection = tokio::time::timeout(PATIENCE, client.get_multiplexed_async_connection()).await??;
        Ok(tokio::time::timeout(PATIENCE, redis::cmd("FLUSHALL").exec_async(&mut connection)).await??)
    }

    pub async fn drop_backends(&self) -> anyhow::Result<()> {
        let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let done = async {
            let mut sql = sqlx::PgConnection::connect(self.url("DATABASE_URL")).await?;
            sqlx::query(all).execute(&mut sql).await.map(drop)
        };
        Ok(tokio::time::timeout(PATIENCE, done).await??)
    }

    /// Leaves no byte free where Postgres has its data.
    pub async fn fill_disk(&self) -> anyhow::Result<()> {
        let ballast = self.ballast()?;
        let full = tokio::task::spawn_blocking(move || {
            let (mut file, some) =
                (std::fs::File::options().create(true).append(true).open(ballast)?, vec![0; 1 << 20]);
            let mut part = &some[..];
            loop {
                match file.write(part) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // What does not fit whole may fit in part.
                    Err(error) if error.kind() == ErrorKind::StorageFull && part.len() > 1 => {
                        part = &part[..part.len() / 2]
                    }
                    Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        });
        Ok(full.await??)
    }

    pub async fn empty_disk(&self) -> anyhow::Result<()> {
        Ok(tokio::fs::remove_file(self.ballast()?).await?)
    }

    fn ballast(&self) -> anyhow::Result<PathBuf> {
        Ok(disk().context("Postgres has no disk of its own")?.join("ballast"))
    }

    /// Deletes every topic but Kafka's own.
    pub async fn delete_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.url("KAFKA_BROKERS")).create()?;
        let admin = std::sync::Arc::new(admin);
        let asked = admin.clone();
        let metadata = tokio::task::spawn_blocking(move || asked.inner().fetch_metadata(None, PATIENCE)).await??;
        let ours = metadata.topics().iter().map(|topic| topic.name()).filter(|name| !name.starts_with("__"));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        for outcome in admin.delete_topics(&ours.collect::<Vec<_>>(), &options).await? {
            if let Err((topic, code)) = outcome {
                bail!("the topic {topic} cannot be deleted: {code}");
            }
        }
        Ok(())
    }
}

/// The small disk that deploy/chaos has made for Postgres, if it could.
pub fn disk() -> Option<PathBuf> {
    std::env::var_os("SAGA_CHAOS_DISK").map(PathBuf::from)
}

/// How long a service that nothing is done to may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a signal, by its name; processes that have ended meanwhile are passed over.
pub async fn signal(name: &str, pids: &[u32]) -> anyhow::Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // Its exit code tells only that one of them is gone.
    Command::new("kill").args(["-s", name]).args(&pids).stderr(Stdio::null()).status().await?;
    Ok(())
}

/// The children of a process, from /proc.
fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let parent_of = |pid: &u32| -> Option<u32> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in parentheses, which may contain anything: state, parent, … (proc(5)).
        text.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    pids.filter(|pid| parent_of(pid) == Some(parent)).collect()
}
