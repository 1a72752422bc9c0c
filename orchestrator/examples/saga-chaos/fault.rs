//! What is done to the system, and whom it is done to.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

use crate::plan::Kind;

/// A service that the system stands on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Service {
    Postgres,
    Kafka,
    Redis,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Redis => "redis",
        }
    }
}

/// What `--outage` takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Outage {
    Inventory,
    Payment,
    Notification,
    Postgres,
    Kafka,
    Redis,
}

impl Outage {
    pub fn fault(self) -> (Kind, Fault) {
        match self {
            Self::Inventory => (Kind::WorkerAway, Fault::WorkerAway(Worker::Inventory)),
            Self::Payment => (Kind::WorkerAway, Fault::WorkerAway(Worker::Payment)),
            Self::Notification => (Kind::WorkerAway, Fault::WorkerAway(Worker::Notification)),
            Self::Postgres => (Kind::PostgresAway, Fault::KillService(Service::Postgres)),
            Self::Kafka => (Kind::KillKafka, Fault::KillService(Service::Kafka)),
            Self::Redis => (Kind::KillRedis, Fault::KillService(Service::Redis)),
        }
    }
}

/// The worker processes: two of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Worker {
    Inventory,
    Payment,
    Notification,
}

impl Worker {
    pub const ALL: [Self; 3] = [Self::Inventory, Self::Payment, Self::Notification];

    pub fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Payment => "payment",
            Self::Notification => "notification",
        }
    }

    /// The names of its two processes.
    pub fn parts(self) -> [String; 2] {
        [1, 2].map(|n| format!("{}-{n}", self.name()))
    }
}

/// Names of the processes of ours, with that many orchestrators.
pub fn parts(instances: usize) -> Vec<String> {
    let serve = (1..=instances).map(|n| format!("serve-{n}"));
    serve.chain(Worker::ALL.into_iter().flat_map(Worker::parts)).collect()
}

/// What a connection suffers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rough {
    Cut,
    HalfOpen,
    Slow(Duration),
    CutCommits { after: bool },
}

/// Something that is done to the system, and undone.
#[derive(Clone, PartialEq, Debug)]
pub enum Fault {
    Kill(String),
    KillAll,
    Freeze(String),
    KillService(Service),
    FreezeService(Service),
    FillDisk,
    FlushRedis,
    DropBackends,
    Edge { part: String, service: Service, rough: Rough },
    CutAnswers(String),
    Storm(Worker),
    DeleteTopics,
    WorkerAway(Worker),
}

impl Fault {
    /// What it needs for itself: two faults that are on at once share nothing of it.
    pub fn targets(&self, parts: &[String]) -> Vec<String> {
        let storm = |worker: Worker| format!("storm {}", worker.name());
        match self {
            Self::Kill(part) | Self::Freeze(part) => vec![part.clone()],
            Self::KillAll => parts.iter().cloned().chain(Worker::ALL.map(storm)).collect(),
            Self::KillService(service) | Self::FreezeService(service) => vec![service.name().to_owned()],
            Self::FlushRedis => vec!["redis".to_owned()],
            Self::DropBackends | Self::FillDisk => vec!["postgres".to_owned()],
            Self::Edge { part, service, .. } => vec![format!("{part}/{}", service.name())],
            Self::CutAnswers(part) => vec![format!("{part}/http")],
            Self::Storm(worker) => vec![storm(*worker)],
            // An orchestrator that is running makes them anew; one that starts refuses to.
            Self::DeleteTopics => vec!["kafka".to_owned(), "serve-1".to_owned()],
            Self::WorkerAway(worker) => worker.parts().into_iter().chain([storm(*worker)]).collect(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(part) => write!(f, "kill {part}"),
            Self::KillAll => write!(f, "kill all processes of ours"),
            Self::Freeze(part) => write!(f, "freeze {part}"),
            Self::KillService(service) => write!(f, "kill {}", service.name()),
            Self::FreezeService(service) => write!(f, "freeze {}", service.name()),
            Self::FillDisk => write!(f, "fill the disk of postgres"),
            Self::FlushRedis => write!(f, "flush redis"),
            Self::DropBackends => write!(f, "drop postgres backends"),
            Self::Edge { part, service, rough } => {
                let service = service.name();
                match rough {
                    Rough::Cut => write!(f, "cut {part} from {service}"),
                    Rough::HalfOpen => write!(f, "half-open {part} to {service}"),
                    Rough::Slow(late) => write!(f, "slow {part} to {service} by {} ms", late.as_millis()),
                    Rough::CutCommits { after: false } => write!(f, "cut before commits of {part}"),
                    Rough::CutCommits { after: true } => write!(f, "cut after commits of {part}"),
                }
            }
            Self::CutAnswers(part) => write!(f, "cut answers of {part}"),
            Self::Storm(worker) => write!(f, "{} workers join and leave", worker.name()),
            Self::DeleteTopics => write!(f, "delete all topics"),
            Self::WorkerAway(worker) => write!(f, "no {} worker", worker.name()),
        }
    }
}
