//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::search::{leases, saga, stock};

/// Searches every state of small worlds for one in which a promise does not hold, and shows the shortest way to it.
///
/// Exits 1 if there is one (with `twins`: if there is none), 2 if it was asked for something impossible.
#[derive(Parser)]
#[command(name = "model-check")]
pub struct Arguments {
    #[command(subcommand)]
    pub which: Which,
    #[command(flatten)]
    pub limits: Limits,
}

#[derive(Subcommand, Clone)]
pub enum Which {
    /// One saga: the real machine among workers that die and wake up, messages that are lost, repeated and reordered,
    /// timers and operators at any moment
    Saga {
        /// order-fulfilment, or letters: U undoable, P pivot, R retriable, Z closing (at most three steps)
        #[arg(long, num_args = 1.., default_values_t = saga::definitions::ALL.map(str::to_owned))]
        definition: Vec<String>,
        /// Verbs of operators, at any moment, any of the seven
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=4))]
        verbs: u8,
        /// Transitions that the engine could not store
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
        engine_failures: u8,
    },
    /// Two instances and a shard: fence, watermark, takeover, commits whose outcome nobody knows
    Leases {
        #[command(flatten)]
        size: LeasesSize,
    },
    /// Two inventory workers and a Redis that forgets
    Stock {
        #[command(flatten)]
        size: StockSize,
    },
    /// All three as they are by default, and the twins
    All,
    /// The same worlds with one rule left out: each must be refuted
    Twins {
        /// Of one world alone
        #[arg(long)]
        of: Option<WhichTwins>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhichTwins {
    Saga,
    Leases,
    Stock,
}

#[derive(Args, Clone, Copy)]
pub struct Limits {
    /// Threads [default: one for each processor]
    #[arg(long, global = true)]
    pub threads: Option<usize>,
    /// Stop after so many states of one world
    #[arg(long, global = true, default_value_t = 4_000_000_000)]
    pub states: u64,
    /// Stop when the process has taken so much memory
    #[arg(long, global = true, value_name = "GIB", default_value_t = 8)]
    pub memory: usize,
}

#[derive(Args, Clone, Copy)]
pub struct LeasesSize {
    /// Sagas, 1 or 2
    #[arg(long, default_value_t = 1)]
    sagas: u8,
    /// History rows of each
    #[arg(long, default_value_t = 3)]
    rows: u8,
    /// How often the shard is taken
    #[arg(long, default_value_t = 2)]
    takeovers: u8,
    /// Instances that are killed
    #[arg(long, default_value_t = 1)]
    crashes: u8,
    /// Commits whose outcome is unknown
    #[arg(long, default_value_t = 1)]
    doubts: u8,
    /// Commands that are answered twice
    #[arg(long, default_value_t = 1)]
    repeats: u8,
}

impl From<LeasesSize> for leases::Size {
    fn from(size: LeasesSize) -> Self {
        let LeasesSize { sagas, rows, takeovers, crashes, doubts, repeats } = size;
        Self { sagas, rows, takeovers, crashes, doubts, repeats }
    }
}

#[derive(Args, Clone, Copy)]
pub struct StockSize {
    /// Orders of one unit each, at most 3
    #[arg(long, default_value_t = 2)]
    orders: u8,
    /// Units
    #[arg(long, default_value_t = 1)]
    on_hand: u8,
    /// How often Redis forgets everything
    #[arg(long, default_value_t = 1)]
    flushes: u8,
    /// How often Redis is started again with an older memory
    #[arg(long, default_value_t = 1)]
    restarts: u8,
    /// How often a worker is taken for dead that is only frozen
    #[arg(long, default_value_t = 1)]
    pauses: u8,
    /// Workers that die
    #[arg(long, default_value_t = 0)]
    crashes: u8,
}

impl From<StockSize> for stock::Size {
    fn from(size: StockSize) -> Self {
        let StockSize { orders, on_hand, flushes, restarts, pauses, crashes } = size;
        Self { orders, on_hand, flushes, restarts, pauses, crashes }
    }
}

/// What `all` is: every subcommand as it is without arguments.
pub fn everything() -> impl Iterator<Item = Which> {
    ["saga", "leases", "stock", "twins"]
        .into_iter()
        .filter_map(|name| Arguments::try_parse_from(["model-check", name]).ok())
        .map(|arguments| arguments.which)
}
