//! Which faults come when: worked out beforehand from a seed, so that a run can be had again.

use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

use crate::fault::{Fault, Rough, Service, Worker};

/// What can be asked for by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// SIGKILL of one of our processes, started again a moment later
    Kill,
    /// SIGKILL of all of our processes at once
    KillAll,
    /// SIGSTOP of one of our processes, for less than LEASE_TIMEOUT
    FreezeShort,
    /// the same for longer than LEASE_TIMEOUT
    FreezeLong,
    KillPostgres,
    KillKafka,
    KillRedis,
    /// SIGSTOP of Postgres with all its backends
    FreezePostgres,
    FreezeKafka,
    FreezeRedis,
    /// Postgres away for a while
    PostgresAway,
    /// the disk of Postgres is full for a while; needs a disk of its own (deploy/chaos as root)
    FillDisk,
    /// FLUSHALL
    FlushRedis,
    /// pg_terminate_backend for every connection
    DropBackends,
    /// every COMMIT of one process is cut off, before or after the server gets it
    CutCommits,
    /// the connections of one process to one service are reset, and refused
    CutEdge,
    /// they carry nothing any more, and nobody is told
    HalfOpen,
    /// they carry everything late
    SlowEdge,
    /// requests of clients reach one orchestrator, its answers are cut off
    CutAnswers,
    /// workers of one kind join and leave in a row
    Storm,
    /// all topics are deleted
    DeleteTopics,
    /// no worker of one kind runs for a while
    WorkerAway,
}

impl Kind {
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default() // none is skipped
    }

    /// How long it lasts, in milliseconds. `LEASE_TIMEOUT` is 3 s.
    fn lasts(self) -> std::ops::Range<u64> {
        match self {
            Self::Kill | Self::KillAll => 200..4_000,
            Self::FreezeShort => 300..2_000,
            Self::FreezeLong => 4_000..9_000,
            Self::KillPostgres | Self::KillKafka | Self::KillRedis => 300..5_000,
            Self::FreezePostgres | Self::FreezeKafka | Self::FreezeRedis => 500..8_000,
            Self::PostgresAway => 10_000..20_000,
            Self::FillDisk => 3_000..12_000,
            Self::FlushRedis | Self::DropBackends => 50..100,
            Self::CutCommits | Self::CutAnswers => 500..4_000,
            Self::CutEdge | Self::HalfOpen | Self::SlowEdge => 1_000..10_000,
            Self::Storm => 4_000..10_000,
            Self::DeleteTopics => 8_000..15_000,
            Self::WorkerAway => 5_000..15_000,
        }
    }

    fn fault(self, rng: &mut Rng, parts: &[String]) -> Fault {
        let serves: Vec<&String> = parts.iter().filter(|part| part.starts_with("serve")).collect();
        let part = parts[rng.usize(..parts.len())].clone();
        let worker = Worker::ALL[rng.usize(..3)];
        let edge = |rng: &mut Rng, rough: Rough| {
            let redis = part.starts_with("inventory");
            let service = [Service::Postgres, Service::Kafka, Service::Redis][rng.usize(..if redis { 3 } else { 2 })];
            Fault::Edge { part: part.clone(), service, rough }
        };
        match self {
            Self::Kill => Fault::Kill(part),
            Self::KillAll => Fault::KillAll,
            Self::FreezeShort | Self::FreezeLong => Fault::Freeze(part),
            Self::KillPostgres | Self::PostgresAway => Fault::KillService(Service::Postgres),
            Self::KillKafka => Fault::KillService(Service::Kafka),
            Self::KillRedis => Fault::KillService(Service::Redis),
            Self::FreezePostgres => Fault::FreezeService(Service::Postgres),
            Self::FreezeKafka => Fault::FreezeService(Service::Kafka),
            Self::FreezeRedis => Fault::FreezeService(Service::Redis),
            Self::FillDisk => Fault::FillDisk,
            Self::FlushRedis => Fault::FlushRedis,
            Self::DropBackends => Fault::DropBackends,
            Self::CutCommits => {
                let rough = Rough::CutCommits { after: rng.bool() };
                Fault::Edge { part, service: Service::Postgres, rough }
            }
            Self::CutEdge => edge(rng, Rough::Cut),
            Self::HalfOpen => edge(rng, Rough::HalfOpen),
            Self::SlowEdge => {
                let late = Duration::from_millis(rng.u64(5..150));
                edge(rng, Rough::Slow(late))
            }
            Self::CutAnswers => Fault::CutAnswers(serves[rng.usize(..serves.len())].clone()),
            Self::Storm => Fault::Storm(worker),
            Self::DeleteTopics => Fault::DeleteTopics,
            Self::WorkerAway => Fault::WorkerAway(worker),
        }
    }
}

/// A fault with its time.
#[derive(Clone, PartialEq, Debug)]
pub struct Planned {
    /// From the start of the load.
    pub at: Duration,
    pub lasts: Duration,
    pub kind: Kind,
    pub fault: Fault,
}

/// As many may be on at once.
const AT_ONCE: usize = 3;
/// A service may take so long to come back, in milliseconds: until then its target is left alone.
const HEALING: u64 = 5_000;
/// Load alone, before the first fault, in milliseconds.
const CALM: u64 = 3_000;

/// The faults of a run of `length`, in order of their time. Each kind comes once before any comes again.
pub fn plan(seed: u64, length: Duration, kinds: &[Kind], parts: &[String]) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let (mut planned, mut bag): (Vec<Planned>, Vec<Kind>) = (Vec::new(), Vec::new());
    let end = length.as_millis() as u64; // minutes
    let mut at = CALM;
    while !kinds.is_empty() && at < end {
        let now = Duration::from_millis(at);
        if bag.is_empty() {
            bag = kinds.to_vec();
            rng.shuffle(&mut bag);
        }
        let since = |more: u64| {
            let more = Duration::from_millis(more);
            planned.iter().filter(move |other| other.at + other.lasts + more > now)
        };
        let on = since(0).count();
        let busy: Vec<String> = since(HEALING).flat_map(|other| other.fault.targets(parts)).collect();
        let candidates: Vec<(usize, Fault)> =
            bag.iter().enumerate().map(|(place, kind)| (place, kind.fault(&mut rng, parts))).collect();
        let free = |fault: &Fault| fault.targets(parts).iter().all(|target| !busy.contains(target));
        if let Some((place, fault)) = candidates.into_iter().find(|(_, fault)| free(fault)).filter(|_| on < AT_ONCE) {
            let kind = bag.remove(place);
            let lasts = rng.u64(kind.lasts()).min(end - at);
            planned.push(Planned { at: now, lasts: Duration::from_millis(lasts), kind, fault });
        }
        at += rng.u64(500..6_000);
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::parts;

    fn of_seed(seed: u64) -> Vec<Planned> {
        plan(seed, Duration::from_secs(600), Kind::value_variants(), &parts(3))
    }

    #[test]
    fn the_same_seed_is_the_same_plan() {
        assert_eq!(of_seed(7), of_seed(7));
        assert_ne!(of_seed(7), of_seed(8));
    }

    #[test]
    fn faults_overlap_but_not_on_one_target() {
        let mut overlaps = 0;
        for seed in 0..50 {
            let planned = of_seed(seed);
            for (i, one) in planned.iter().enumerate() {
                for other in planned[..i].iter().filter(|other| other.at + other.lasts > one.at) {
                    overlaps += 1;
                    let (one, other) = (one.fault.targets(&parts(3)), other.fault.targets(&parts(3)));
                    assert!(one.iter().all(|target| !other.contains(target)), "seed {seed}: {one:?} and {other:?}");
                }
            }
        }
        assert!(overlaps > 1_000, "{overlaps}");
    }

    #[test]
    fn all_is_healed_at_the_end_and_each_kind_comes() {
        let planned = of_seed(3);
        assert!(planned.iter().all(|fault| fault.at + fault.lasts <= Duration::from_secs(600)));
        for kind in Kind::value_variants() {
            assert!(planned.iter().any(|fault| fault.kind == *kind), "{kind:?}");
        }
    }
}
