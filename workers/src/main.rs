//! `worker`: the participants of the shop.

use std::process::ExitCode;
use std::time::Duration;

use service::exit::{Exit, Stop};
use workers::process::{Args, run};

/// Most of what this process does is make and drop small values, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Args = service::settings::parse();
    Exit::of(start(args)).into()
}

fn start(args: Args) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(run(args));
    // Blocking calls to a broker that is away are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}
