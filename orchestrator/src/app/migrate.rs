//! `saga migrate`: the schema and the topics.

use clap::Args;
use service::exit::{Stop, chain};
use service::kafka::{Admin, topics};
use service::settings::{Connections, KafkaTopicArgs, LogArgs};
use service::telemetry;

use crate::store::postgres::PostgresStore;

/// Settings of `saga migrate`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  saga migrate
  KAFKA_PARTITIONS=8 KAFKA_REPLICATION=3 saga migrate

Running it again changes nothing. The number of partitions is the number of shards and is fixed by the first run.")]
pub struct MigrateArgs {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    topics: KafkaTopicArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Brings the schema up to date and makes the topics that are missing.
///
/// # Errors
/// What could not be done; running it again goes on where it stopped.
pub async fn migrate(args: MigrateArgs) -> Result<(), Stop> {
    let _telemetry = telemetry::init(&args.log, "saga")?;
    let store = PostgresStore::open(args.connections.database_url.expose()).map_err(|e| Stop::Failed(e.to_string()))?;
    let partitions = args.topics.kafka_partitions;
    migrations::migrate(store.connection(), partitions.get())
        .await
        .map_err(|error| Stop::Failed(format!("the database of DATABASE_URL: {}", chain(&error))))?;
    tracing::info!(shards = partitions.get(), "The database schema is up to date");
    let admin = Admin::new(&args.connections.kafka_brokers, "saga").map_err(|error| Stop::Failed(error.to_string()))?;
    let topics = topics::ALL.map(|topic| args.connections.kafka_topic_prefix.full(topic));
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let made = admin
        .create_missing(&topics, partitions, args.topics.kafka_replication)
        .await
        .map_err(|error| Stop::Failed(error.to_string()))?;
    tracing::info!(made = made.len(), partitions = partitions.get(), "The topics are there");
    store.close().await;
    Ok(())
}
