//! What a worker stands on: Postgres, Kafka, and for the inventory Redis. They are waited for; what a person has to mend
//! ends the process.

use std::sync::Arc;
use std::time::Duration;

use migrations::SchemaProblem;
use saga_model::ids::ShardCount;
use service::exit::Stop;
use service::health::{Dependency, Effect, Health};
use service::kafka::{Admin, topics};
use service::metrics::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::watch::Watch;
use crate::dead_letter::SqlDeadLetters;
use crate::ledger::sql::SqlLedger;
use crate::patience::{Absences, Patience};
use crate::runtime::{Limits, Surroundings};
use crate::shop::staff::{Staff, WorkerName};
use crate::shop::stock::sql::SqlStock;
use crate::shop::stock::{RedisStock, Stock};
use crate::sql::{Db, connect};
use crate::transport::kafka::{Cluster, KafkaSink, WrongCluster};
use crate::trouble::{Part, Trouble};

/// See the module.
pub(super) struct Ground {
    pub(super) staff: Staff,
    pub(super) cluster: Cluster,
    /// Set if the inventory is among the workers.
    redis: Option<Arc<RedisStock>>,
    admin: Admin,
    workers: Vec<WorkerName>,
    health: Health,
    absences: Absences,
    stop: CancellationToken,
}

/// How often something that is away is tried again at the start.
const AGAIN: Duration = Duration::from_millis(500);
/// The name under which the stock lives in Redis.
const REDIS_NAME: &str = "saga-stock";

impl Ground {
    /// Puts everything together; nobody is asked yet.
    pub(super) fn new(
        args: &Args,
        workers: &[WorkerName],
        health: &Health,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, Stop> {
        let limits = Limits::for_effects_of(args.step_timeout());
        // Shorter than an effect may take: a part that is away must not look like an effect that is slow.
        let patience = (limits.effect / 2).min(Duration::from_secs(3));
        let settings = args.shop.for_worker();
        let usage = |name: &str, error: &dyn std::fmt::Display| Stop::Usage(format!("{name}: {error}"));
        let url = args.connections.database_url.expose();
        let connection = connect::connect(url, patience).map_err(|error| usage("DATABASE_URL", &error))?;
        let db = Db::new(connection).map_err(|error| usage("DATABASE_URL", &error))?;
        let redis = match workers.contains(&WorkerName::Inventory) {
            false => None,
            true => {
                let url = args.connections.require_redis()?.expose();
                let name = args.connections.kafka_topic_prefix.full(REDIS_NAME);
                let stock = RedisStock::new(db.clone(), url, &name, patience, settings.default_stock);
                Some(Arc::new(stock.map_err(|error| Stop::Usage(error.to_string()))?))
            }
        };
        let cluster = Cluster {
            brokers: args.connections.kafka_brokers.clone(),
            prefix: args.connections.kafka_topic_prefix.clone(),
            client_id: workers.first().map_or("worker", |name| name.service()).to_owned(),
        };
        let failed = |error: &dyn std::fmt::Display| Stop::Failed(error.to_string());
        let admin = Admin::new(&cluster.brokers, &cluster.client_id).map_err(|error| failed(&error))?;
        let sink = KafkaSink::new(cluster.clone()).map_err(|error| failed(&error))?;
        let absences = Absences::default();
        let staff = Staff {
            ledger: Arc::new(SqlLedger::new(db.clone())),
            stock: match &redis {
                Some(stock) => Arc::clone(stock) as Arc<dyn Stock>,
                // Nobody here asks it: the inventory is another process.
                None => Arc::new(SqlStock::new(db.clone(), settings.default_stock)),
            },
            success_rate: settings.success_rate,
            around: Surroundings {
                dead_letters: Arc::new(SqlDeadLetters(db.clone())),
                sink: Arc::new(sink),
                patience: Patience::new(absences.clone(), stop.clone()),
                letters_total: metrics.dead_letters(),
            },
            metrics: metrics.clone(),
            limits,
            db,
        };
        let (workers, health, stop) = (workers.to_vec(), health.clone(), stop.clone());
        Ok(Self { staff, cluster, redis, admin, workers, health, absences, stop })
    }

    /// Waits until everything is there, and as this release needs it. None if the end comes first.
    pub(super) async fn is_solid(&self) -> Result<Option<()>, Stop> {
        let postgres = self.health.register("postgres", Effect::NotReady);
        let kafka = self.health.register("kafka", Effect::Degraded);
        let redis = self.redis.as_ref().map(|stock| (stock, self.health.register("redis", Effect::Degraded)));
        let Some(shards) = self.patiently(&postgres, async || self.schema().await).await? else { return Ok(None) };
        let topics = self.topics();
        let checked = self.patiently(&kafka, async || match self.cluster.check(&self.admin, &topics, shards).await {
            Ok(()) => Ok(()),
            Err(WrongCluster::Unseen(error)) => Err(NotYet::Away(error.to_string())),
            Err(wrong) => Err(NotYet::Wrong(wrong.to_string())),
        });
        if checked.await?.is_none() {
            return Ok(None);
        }
        if let Some((stock, redis)) = redis {
            let ready = self
                .patiently(&redis, async || stock.ready().await.map_err(|trouble| NotYet::Away(trouble.to_string())));
            if ready.await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    async fn schema(&self) -> Result<ShardCount, NotYet> {
        let connection = self.staff.db.connection();
        let problem = |problem| match problem {
            // What it could not be asked for passes, or a person sees it in /readyz.
            SchemaProblem::Database(error) => NotYet::Away(error.to_string()),
            SchemaProblem::Outdated { .. } | SchemaProblem::Newer { .. } | SchemaProblem::NoShards => {
                NotYet::Wrong(problem.to_string())
            }
        };
        migrations::check(connection).await.map_err(problem)?;
        let shards = migrations::shard_count(connection).await.map_err(problem)?;
        ShardCount::new(shards).ok_or_else(|| NotYet::Wrong(SchemaProblem::NoShards.to_string()))
    }

    /// The topics that these workers read and write.
    fn topics(&self) -> Vec<&'static str> {
        let read = self.workers.iter().flat_map(|name| name.subscriptions()).map(|subscription| subscription.topic);
        [topics::REPLIES, topics::DEAD_LETTERS].into_iter().chain(read).collect()
    }

    /// Tries until it is there. None if the end comes first.
    async fn patiently<T>(
        &self,
        dependency: &Dependency,
        look: impl AsyncFn() -> Result<T, NotYet>,
    ) -> Result<Option<T>, Stop> {
        loop {
            let found = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                found = look() => found,
            };
            match found {
                Ok(found) => {
                    dependency.up();
                    return Ok(Some(found));
                }
                Err(NotYet::Wrong(problem)) => return Err(Stop::Failed(problem)),
                Err(NotYet::Away(detail)) => dependency.down(detail),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Watches what the workers stand on, for `/readyz`.
    pub(super) fn watch(&self, tasks: &mut JoinSet<()>) {
        let watch =
            |dependency, part| Watch { dependency, part, absences: self.absences.clone(), stop: self.stop.clone() };
        let db = self.staff.db.clone();
        let postgres = watch(self.health.register("postgres", Effect::NotReady), Part::Database);
        tasks.spawn(postgres.run(Duration::from_secs(1), move || {
            let db = db.clone();
            async move { db.ping().await }
        }));
        let admin = self.admin.clone();
        let kafka = watch(self.health.register("kafka", Effect::Degraded), Part::Kafka);
        tasks.spawn(kafka.run(Duration::from_secs(3), move || {
            let admin = admin.clone();
            async move {
                let away = |detail: String| Trouble::Away { part: Part::Kafka, detail };
                admin.topics().await.map(drop).map_err(|error| away(error.to_string()))
            }
        }));
        if let Some(stock) = &self.redis {
            let stock = Arc::clone(stock);
            let redis = watch(self.health.register("redis", Effect::Degraded), Part::Redis);
            tasks.spawn(redis.run(Duration::from_secs(1), move || {
                let stock = Arc::clone(&stock);
                async move { stock.ready().await }
            }));
        }
    }
}

/// Why something is not there.
enum NotYet {
    /// It may come.
    Away(String),
    /// A person has to do something.
    Wrong(String),
}
