//! `saga`: the orchestrator and its operator's client.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use orchestrator::{app, cli};
use service::exit::{Exit, Stop};

/// Most of what this process does is make and drop small values, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A durable saga orchestrator for teams that run Kafka and Postgres
#[derive(Parser, Debug)]
#[command(
    name = "saga",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  saga dev                                  everything in one process, nothing else needed
  saga migrate && saga serve                the orchestrator on Postgres and Kafka
  saga show 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11
  saga replay 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the refund service is back'

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run everything in this process, workers included, with nothing else needed
    Dev(Box<app::DevArgs>),
    /// Run the orchestrator on Postgres and Kafka; several instances share the load, as many as there are partitions
    Serve(Box<app::ServeArgs>),
    /// Bring the database schema up to date and create missing topics
    Migrate(Box<app::MigrateArgs>),
    /// Send domain events again from the history, byte by byte as they were: for consumers that lost some
    Republish(Box<app::RepublishArgs>),
    /// Check a live database: every saga against its history, the rows against each other, the books against the sagas
    Audit(app::AuditArgs),
    #[command(flatten)]
    Client(cli::ClientCommand),
}

fn main() -> ExitCode {
    let cli: Cli = service::settings::parse();
    Exit::of(run(cli.command)).into()
}

fn run(command: Command) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Dev(args) => app::dev(*args).await,
            Command::Serve(args) => app::serve(*args).await,
            Command::Migrate(args) => app::migrate(*args).await,
            Command::Republish(args) => app::republish(*args).await,
            Command::Audit(args) => app::audit(args, &mut std::io::stdout()).await,
            Command::Client(command) => cli::run(command, &mut std::io::stdout()).await,
        }
    });
    // Blocking calls to a broker that is away are not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    outcome
}
