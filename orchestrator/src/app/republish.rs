//! `saga republish`: domain events once more, from the history that is stored.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use futures::{TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use saga_model::wire::SagaInput;
use saga_model::{Micros, SagaId};
use service::exit::Stop;
use service::settings::{Connections, LogArgs};
use service::telemetry;

use crate::bus::kafka::Single;
use crate::engine::{Definitions, domain_event};
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::rows::SagaRecord;

/// Settings of `saga republish`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  saga republish 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11
  saga republish --since 2h --topic order.confirmed --dry-run   how many they are
  saga republish --since 2026-11-29T10:00:00Z                   after a topic was lost, with what had been read of it

What it sends is byte by byte what was sent before, with the same ce_id, so whoever has it already can tell. The
orchestrator and the workers may go on. If it ends early, run it again.")]
pub struct RepublishArgs {
    /// The sagas whose events are sent
    #[arg(value_name = "SAGA_ID", required_unless_present = "since")]
    sagas: Vec<SagaId>,

    /// In place of sagas: all events from this time on, or from so long ago
    #[arg(long, value_name = "TIME|DURATION", conflicts_with = "sagas", value_parser = since)]
    since: Option<Micros>,

    /// No other events than those of this topic; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,

    /// Count the events and send none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    log: LogArgs,
}

/// Sagas that are read at a time.
const PAGE: usize = 500;
/// Sagas whose events are on their way at a time. One saga's leave one after another.
const AT_ONCE: usize = 32;

/// Sends the events.
///
/// # Errors
/// If the database or Kafka does not answer, or there is no such saga; then some may have been sent.
pub async fn republish(args: RepublishArgs) -> Result<(), Stop> {
    let _telemetry = telemetry::init(&args.log, "saga")?;
    let store = PostgresStore::open(args.connections.database_url.expose()).map_err(|error| failed(&error))?;
    let definitions = Definitions::default();
    definitions.refresh(&store).await.map_err(|error| failed(&error))?;
    let publisher = Publisher {
        single: Single::new(&args.connections.kafka_brokers, "saga"),
        bar: bar(),
        events: AtomicU64::new(0),
        store,
        definitions,
        args,
    };
    let outcome = publisher.run().await;
    publisher.bar.finish_and_clear();
    let events = publisher.events.into_inner();
    publisher.store.close().await;
    match outcome {
        Ok(()) if publisher.args.dry_run => eprintln!("{events} events would be sent."),
        Ok(()) => eprintln!("{events} events were sent."),
        Err(stop) => return Err(Stop::Failed(format!("{stop}; {events} events were sent before: run it again"))),
    }
    Ok(())
}

struct Publisher {
    store: PostgresStore,
    definitions: Definitions,
    single: Single,
    args: RepublishArgs,
    bar: ProgressBar,
    /// Sent so far.
    events: AtomicU64,
}

impl Publisher {
    async fn run(&self) -> Result<(), Stop> {
        let Some(since) = self.args.since else {
            let found = self.store.sagas(&self.args.sagas).await.map_err(|error| failed(&error))?;
            let missing = |id: &&SagaId| !found.iter().any(|record| record.saga.id == **id);
            if let Some(id) = self.args.sagas.iter().find(missing) {
                return Err(Stop::Failed(format!("there is no saga {id}")));
            }
            return self.send_all(found).await;
        };
        if std::io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let mut after = None;
        loop {
            let page = self.store.page_of_sagas(after, PAGE).await.map_err(|error| failed(&error))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.saga.id);
            self.bar.inc(page.len() as u64);
            self.bar.set_message(last.saga.created_at.to_string());
            self.send_all(page.into_iter().filter(|record| record.saga.updated_at >= since).collect()).await?;
        }
    }

    async fn send_all(&self, sagas: Vec<SagaRecord>) -> Result<(), Stop> {
        stream::iter(sagas.into_iter().map(Ok)).try_for_each_concurrent(AT_ONCE, |record| self.send(record)).await
    }

    /// Sends the events of a saga, in their order.
    async fn send(&self, record: SagaRecord) -> Result<(), Stop> {
        let unknown = || Stop::Failed(format!("the definition of saga {} is not stored", record.saga.id));
        let definition = self.definitions.get(record.origin.definition).ok_or_else(unknown)?;
        let history = self.store.history(record.saga.id).await.map_err(|error| failed(&error))?;
        let wanted = |at: Micros, topic: &String| {
            self.args.since.is_none_or(|since| at >= since)
                && (self.args.topics.is_empty() || self.args.topics.contains(topic))
        };
        for stored in &history {
            for event in stored.row.data.emit.iter().filter(|event| wanted(stored.row.at, &event.topic)) {
                if !self.args.dry_run {
                    let input = SagaInput::new(&record.origin.input);
                    let message = domain_event(&record, &input, &definition, &stored.row, event);
                    let message = message.map_err(|error| failed(&error))?;
                    let topic = self.args.connections.kafka_topic_prefix.full(&message.topic);
                    self.single.deliver(&topic, message).await.map_err(|error| failed(&error))?;
                }
                self.events.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// How far it is, once it has somewhere to be drawn.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} sagas read, up to those started at {msg}");
    ProgressBar::hidden().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// A time as RFC 3339 writes it, or so long ago.
fn since(text: &str) -> Result<Micros, String> {
    if let Ok(ago) = service::duration::parse(text) {
        return Ok(service::time::now().plus(-ago.micros()));
    }
    service::time::parse(text).map_err(|_| "write a time such as 2026-11-29T10:00:00Z, or how long ago: 2h".to_owned())
}

fn failed(error: &dyn std::error::Error) -> Stop {
    Stop::Failed(service::exit::chain(error))
}
