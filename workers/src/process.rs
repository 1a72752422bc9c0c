//! A worker's process: its settings, what it waits for, and how it ends.

mod ground;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use saga_model::micros::Millis;
use service::announce::announce;
use service::exit::Stop;
use service::health::Health;
use service::http::{bind, edge, serve as serve_http};
use service::keys::{ApiKeys, guard, is_keyless};
use service::metrics::Metrics;
use service::settings::{Connections, HttpArgs, ListenAddr, LogArgs};
use service::telemetry::Telemetry;
use service::{shutdown, telemetry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::ground::Ground;
use crate::http::audit;
use crate::runtime::serve;
use crate::settings::ShopArgs;
use crate::shop::staff::WorkerName;
use crate::transport::kafka::KafkaSource;

/// Runs participants of the shop: they read commands from Kafka, act at most once, and answer
#[derive(Parser, Debug)]
#[command(
    name = "worker",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  worker inventory                            one participant
  worker inventory payment notification       all three in one process
  INVENTORY_DEFAULT_STOCK=100 worker inventory --http-addr 127.0.0.1:0

Several processes of a participant share the load, as many as there are partitions. Run `saga migrate` first;
Postgres, Kafka and Redis are waited for.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
pub struct Args {
    /// Which participants
    #[arg(value_enum, required = true, value_name = "WORKER")]
    workers: Vec<WorkerName>,
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    shop: ShopArgs,
    /// An effect that takes longer is answered UNKNOWN; as long as the orchestrator's own
    #[arg(long, env = "STEP_TIMEOUT", value_name = "DURATION", default_value = "10s",
          value_parser = service::duration::parse, help_heading = "Timing")]
    step_timeout: Millis,
}

impl Args {
    /// The participants, each once, in the order in which they were named.
    fn workers(&self) -> Vec<WorkerName> {
        let mut workers: Vec<WorkerName> = Vec::new();
        for name in &self.workers {
            if !workers.contains(name) {
                workers.push(*name);
            }
        }
        workers
    }

    fn step_timeout(&self) -> Duration {
        Duration::from_millis(self.step_timeout.0)
    }
}

/// How long a process that is told to end goes on with what it has in hand.
const WIND_UP: Duration = Duration::from_secs(7);
/// How long requests in flight are waited for, counted from the signal: a grace for load balancers is in it.
const REQUESTS_WITHIN: Duration = Duration::from_millis(6_500);
/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Runs the participants until a signal.
///
/// # Errors
/// Why they could not start, or had to end.
pub async fn run(args: Args) -> Result<(), Stop> {
    let workers = args.workers();
    let Some(first) = workers.first() else { return Err(Stop::Usage("name a worker".to_owned())) };
    let telemetry = telemetry::init(&args.log, first.service())?;
    let shutdown = shutdown::on_signal(args.http.shutdown_grace())?;
    let stop = shutdown.draining().clone();
    let default: ListenAddr =
        first.default_addr().parse().map_err(|error| Stop::Usage(format!("HTTP_ADDR: {error}")))?;
    let listener = bind(&args.http.listen_addr(default)).await?;
    let local = listener.local_addr().map_err(|error| Stop::Failed(format!("cannot listen: {error}")))?;
    announce(&format!("listening on http://{local}"));

    let (health, metrics) = (Health::new(), Metrics::new());
    let ground = Ground::new(&args, &workers, &health, &metrics, &stop)?;
    let routes = routes(&ground, &workers, &health, &metrics, args.http.api_keys());
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_end(stop.clone(), health.clone()));
    // Requests may come and go before Kafka does: reading the stock needs Postgres alone.
    let http_ends = shutdown.clone();
    tasks.spawn(async move {
        serve_http(listener, routes, http_ends, REQUESTS_WITHIN).await;
    });
    let outcome = work(&ground, &workers, &telemetry, &stop, &mut tasks).await;
    if !stop.is_cancelled() {
        // It ended without a signal: everybody ends, and nobody needs to see it go.
        shutdown.at_once();
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(WIND_UP, all).await.is_err() {
        tracing::warn!("Not everything was done in time; what is in hand comes again");
    }
    telemetry.shutdown(LAST_SPANS).await;
    outcome
}

/// Waits for what the participants stand on, starts them, and waits for the end.
async fn work(
    ground: &Ground,
    workers: &[WorkerName],
    telemetry: &Telemetry,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), Stop> {
    if ground.is_solid().await?.is_none() {
        return Ok(()); // told to end while waiting
    }
    let mut joined = Vec::new();
    for name in workers {
        let tracer = telemetry.tracer(name.service())?;
        for subscription in name.subscriptions() {
            let source = KafkaSource::join(&ground.cluster, subscription.topic, subscription.group)
                .map_err(|error| Stop::Failed(error.to_string()))?;
            joined.push(source.joined());
            let handler = ground.staff.handler(*name, *subscription, tracer.clone());
            tasks.spawn(serve(source, handler, stop.clone()));
        }
    }
    ground.watch(tasks);
    let all_joined = async {
        for mut joined in joined {
            // An error means that its reader has ended, which the end of the process follows.
            let _ended = joined.wait_for(|joined| *joined).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = all_joined => {}
    }
    let names: Vec<&str> = workers.iter().map(|name| name.as_str()).collect();
    tracing::info!(workers = names.join(" "), "Worker ready");
    announce("worker ready");
    // Nothing ends before it is told to, unless it breaks; half a worker would be worse than none.
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => match ended {
            Ok(()) if stop.is_cancelled() => Ok(()),
            Ok(()) => Err(Stop::Failed("a part of the worker ended by itself; its log says why".to_owned())),
            Err(broken) => Err(Stop::Failed(format!("a part of the worker broke: {broken}"))),
        },
    }
}

fn routes(ground: &Ground, workers: &[WorkerName], health: &Health, metrics: &Metrics, keys: ApiKeys) -> Router {
    let mut routes = Router::new().merge(health.routes()).merge(metrics.routes());
    for name in workers {
        routes = routes.merge(ground.staff.routes(*name));
    }
    let keys = Arc::new(keys);
    let routes = guard(routes, Arc::clone(&keys), is_keyless);
    edge(audit(routes, ground.staff.db.clone(), keys, |_| true), metrics.http())
}

async fn watch_end(stop: CancellationToken, health: Health) {
    stop.cancelled().await;
    health.drain();
}
