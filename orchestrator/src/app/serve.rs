//! `saga serve`: the orchestrator on Postgres and Kafka.

use std::sync::Arc;

use axum::Router;
use clap::Args;
use migrations::SchemaProblem;
use service::announce::announce;
use service::exit::Stop;
use service::health::Effect;
use service::http::bind;
use service::kafka::{Admin, topics};
use service::settings::{Connections, HttpArgs, ListenAddr, LogArgs, Timing, TimingArgs};
use service::{shutdown, telemetry};

use super::lifecycle::{CLOSED_WITHIN, Ground, Process, patiently};
use crate::bus::kafka::topics::{WrongTopics, check};
use crate::bus::kafka::{KafkaBus, Settings};
use crate::engine::Acks;
use crate::store::postgres::PostgresStore;
use crate::store::{Store, StoreError};

/// Settings of `saga serve`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  deploy/local/services up && eval \"$(deploy/local/services env)\"   real Postgres, Kafka and Redis for trying
  saga migrate && saga serve
  HTTP_ADDR=127.0.0.1:0 saga serve --step-timeout 2s")]
pub struct ServeArgs {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    timing: TimingArgs,
}

/// Runs the orchestrator until a signal.
///
/// # Errors
/// Why it could not start, or had to end.
pub async fn serve(args: ServeArgs) -> Result<(), Stop> {
    let timing = args.timing.resolve(Timing::SERVE)?;
    let telemetry = telemetry::init(&args.log, "saga")?;
    let shutdown = shutdown::on_signal(args.http.shutdown_grace())?;
    let default: ListenAddr = "0.0.0.0:8081".parse().map_err(|error| Stop::Usage(format!("HTTP_ADDR: {error}")))?;
    let listener = bind(&args.http.listen_addr(default)).await?;
    if let Ok(address) = listener.local_addr() {
        announce(&format!("listening on http://{address}"));
    }
    let process = Process::listen(listener, args.http.api_keys(), telemetry, shutdown)?;
    let store = PostgresStore::open(args.connections.database_url.expose()).map_err(failed)?;
    let outcome = match ground(&process, &store, &args.connections).await? {
        Some((ground, unusable)) => {
            let running = process.open(ground, timing, Router::new()).await?;
            process.run(running, unusable).await
        }
        None => process.run(None, std::future::pending()).await,
    };
    // Whatever is still open then ends with the process.
    let _ = tokio::time::timeout(CLOSED_WITHIN, store.close()).await;
    outcome
}

/// Waits for Postgres and checks that it is as this release needs it; none if the end comes first. Kafka is looked at
/// and not waited for: orders are taken without it. What it turns out to lack ends the second part.
async fn ground(
    process: &Process,
    store: &PostgresStore,
    connections: &Connections,
) -> Result<Option<(Ground, impl Future<Output = Stop> + use<>)>, Stop> {
    let postgres = process.health.register("postgres", Effect::NotReady);
    let kafka = process.health.register("kafka", Effect::Degraded);
    let checked = patiently(&process.shutdown, &postgres, || async {
        match migrations::check(store.connection()).await {
            Ok(()) => store.shard_count().await,
            Err(SchemaProblem::Database(error)) => Err(StoreError::Unavailable(error.to_string())),
            Err(problem) => Err(StoreError::Refused(problem.to_string())),
        }
    });
    let Some(shards) = checked.await? else { return Ok(None) };
    postgres.up();
    let admin = Admin::new(&connections.kafka_brokers, "saga").map_err(|error| Stop::Failed(error.to_string()))?;
    let prefix = connections.kafka_topic_prefix.clone();
    let seen = match check(&admin, &prefix, &topics::ALL, shards).await {
        Ok(()) => true,
        Err(WrongTopics::Unseen(error)) => {
            kafka.down(error.to_string());
            false
        }
        Err(wrong @ (WrongTopics::Missing(_) | WrongTopics::Partitions { .. })) => {
            return Err(Stop::Failed(wrong.to_string()));
        }
    };
    let shutdown = process.shutdown.clone();
    let unusable = async move {
        if !seen {
            let look = || async { seen_later(check(&admin, &prefix, &topics::ALL, shards).await) };
            if let Err(stop) = patiently(&shutdown, &kafka, look).await {
                return stop;
            }
        }
        std::future::pending().await
    };
    let acks = Arc::new(Acks::default());
    let settings = Settings::new(connections.kafka_brokers.clone(), connections.kafka_topic_prefix.clone(), shards);
    let bus = KafkaBus::new(&settings, &acks.sink()).map_err(|error| Stop::Failed(error.to_string()))?;
    let store: Arc<dyn Store> = Arc::new(store.clone());
    let ground = Ground { store, bus: Arc::new(bus), acks, store_name: "postgres", bus_name: Some("kafka") };
    Ok(Some((ground, unusable)))
}

/// What a look comes to while the engine runs already: missing topics it makes by itself, when it misses them.
fn seen_later(looked: Result<(), WrongTopics>) -> Result<(), StoreError> {
    match looked {
        Ok(()) => Ok(()),
        Err(wrong @ WrongTopics::Partitions { .. }) => Err(StoreError::Refused(wrong.to_string())),
        Err(yet @ (WrongTopics::Unseen(_) | WrongTopics::Missing(_))) => Err(StoreError::Unavailable(yet.to_string())),
    }
}

fn failed(error: StoreError) -> Stop {
    Stop::Failed(error.to_string())
}
