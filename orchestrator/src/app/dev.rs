//! `saga dev`: the orchestrator, its workers and its bus in one process, on SQLite.

mod banner;
mod home;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use saga_model::ids::ShardCount;
use service::exit::{Stop, chain};
use service::http::bind;
use service::keys::{Scope, Scopes};
use service::settings::{HttpArgs, ListenAddr, LogArgs, Secret, Timing, TimingArgs};
use service::{shutdown, telemetry};
use tokio_util::sync::CancellationToken;
use workers::http::{audit, is_workers_admin_path};
use workers::local::{LocalWorkers, Surrounds};
use workers::settings::ShopArgs;

use self::banner::Banner;
use self::home::Home;
use super::lifecycle::{CLOSED_WITHIN, Ground, Process};
use crate::bus::local::LocalBus;
use crate::engine::Acks;
use crate::http::More;
use crate::store::sqlite::{self, SqliteStore};

/// The shards of a database of `saga dev`.
const SHARDS: u16 = 4;

/// Settings of `saga dev`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  saga dev
  saga dev --ephemeral --http-addr 127.0.0.1:0
  PAYMENT_SUCCESS_RATE=0 saga dev --data-dir /tmp/all-declined

It needs no outside service and ignores DATABASE_URL, KAFKA_BROKERS and REDIS_URL. Kill it any way you like and run
it again: sagas in flight finish.")]
pub struct DevArgs {
    #[command(flatten)]
    home: home::HomeArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    timing: TimingArgs,
    #[command(flatten)]
    shop: ShopArgs,
}

/// Runs everything until a signal.
///
/// # Errors
/// Why it could not start, or had to end.
pub async fn dev(args: DevArgs) -> Result<(), Stop> {
    let timing = args.timing.resolve(Timing::DEV)?;
    let telemetry = telemetry::init(&args.log, "saga")?;
    let shutdown = shutdown::on_signal(args.http.shutdown_grace())?;
    let home = Home::open(&args.home)?;
    if home.is_temporary() {
        shutdown.leaves(home.path().to_owned());
    }
    let default: ListenAddr = "127.0.0.1:8081".parse().map_err(|error| Stop::Usage(format!("HTTP_ADDR: {error}")))?;
    let listener = bind(&args.http.listen_addr(default)).await?;
    let address = listener.local_addr().map_err(|error| Stop::Failed(format!("cannot listen: {error}")))?;
    let mut keys = args.http.api_keys();
    let admin_key = home.admin_key()?;
    let admin = Scopes::default().with(Scope::Admin);
    keys.add("dev", Secret::new(&admin_key), admin).map_err(|error| {
        Stop::Usage(format!("SAGA_API_KEYS: {error}; the name dev is that of the key that saga dev makes"))
    })?;
    let process = Process::listen(listener, keys, telemetry, shutdown)?;

    let failed = |error: &dyn std::error::Error| Stop::Failed(format!("the data directory: {}", chain(error)));
    let writer = sqlite::open(&home.database()).await.map_err(|error| failed(&error))?;
    migrations::migrate(&writer, SHARDS).await.map_err(|error| failed(&error))?;
    let store = SqliteStore::new(&home.database(), writer.clone()).await.map_err(|error| failed(&error))?;
    // The data directory is locked: whoever owned the shards, and was perhaps killed, is not alive.
    store.forget_instances().await.map_err(|error| failed(&error))?;

    let acks = Arc::new(Acks::default());
    let shards = ShardCount::new(SHARDS).ok_or_else(|| Stop::Failed("not a number of shards".to_owned()))?;
    let bus = Arc::new(LocalBus::new(shards, acks.sink()));
    let on_done = bus.clone();
    // They go on until the engine has ended: it waits for them to take what it has sent.
    let workers_end = CancellationToken::new();
    let workers = LocalWorkers::start(Surrounds {
        connection: writer,
        settings: args.shop.for_dev(),
        step_timeout: Duration::from_millis(timing.policy.step_timeout.0),
        metrics: &process.metrics,
        telemetry: &process.telemetry,
        on_done: Arc::new(move |position| on_done.done(&position)),
        stop: workers_end.clone(),
    });
    let mut workers = workers.await?;
    bus.connect(std::mem::take(&mut workers.inputs));
    let (_none, replacement) = tokio::sync::mpsc::unbounded_channel();
    let answers = std::mem::replace(&mut workers.answers, replacement);
    tokio::spawn(bus.clone().answers(answers));
    let routes = std::mem::take(&mut workers.routes);

    let ground = Ground { store: Arc::new(store.clone()), bus, acks, store_name: "store", bus_name: None };
    let more = More {
        routes,
        records: is_workers_admin_path,
        audit: {
            let (db, keys) = (workers.db(), process.keys.clone());
            Box::new(move |routes| audit(routes, db, keys, is_workers_admin_path))
        },
    };
    let running = process.open(ground, timing, more).await?;
    process.ready().await;
    Banner { address, home: &home, admin_key: &admin_key }.print();
    let outcome = process.run(running, std::future::pending()).await;
    workers_end.cancel();
    // Whatever they have in hand then comes again at the next start.
    let _ = tokio::time::timeout(CLOSED_WITHIN, workers.ended()).await;
    store.close().await;
    outcome
}
