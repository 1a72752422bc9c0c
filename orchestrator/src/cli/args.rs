//! What the commands take.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use saga_model::SagaId;
use saga_model::json::RawJson;
use service::exit::Stop;

use super::audit_log::AuditLogArgs;
use super::client::Request;
use super::letters::LetterCommand;

/// The commands that talk to a running orchestrator.
#[derive(Subcommand, Clone, Debug)]
pub enum ClientCommand {
    /// Show a saga: its steps, what it waits for, and what can be done about it
    #[command(after_help = examples("saga show 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11
  saga show 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --json | jq .status"))]
    Show(Chosen),
    /// Follow a saga, transition by transition, until it is at rest (ended, stuck or paused)
    #[command(after_help = examples("saga watch 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11"))]
    Watch(Chosen),
    /// Start a saga
    #[command(after_help = examples("saga start order-fulfilment --input order.json
  echo '{\"userId\": \"11111111-1111-1111-1111-111111111111\", \"amount\": 500,
    \"items\": {\"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa\": 2}}' | saga start order-fulfilment --input -"))]
    Start(StartArgs),
    /// Ask the step in hand again: now if it waits for a retry, anew if the saga is stuck
    #[command(after_help = examples("saga replay 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the refund service is back'"))]
    Replay(ReplayArgs),
    /// Turn a saga back before its pivot has succeeded: what was done is undone
    #[command(after_help = examples("saga cancel 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the customer changed their mind'"))]
    Cancel(Operated),
    /// Turn a saga back, also after its pivot: what was done is undone
    #[command(after_help = examples("saga compensate 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'returned by the customer'"))]
    Compensate(Operated),
    /// Hold a saga: answers are recorded, nothing is sent
    #[command(after_help = examples("saga pause 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the gateway is being repaired'"))]
    Pause(Operated),
    /// Let a paused saga go on
    #[command(after_help = examples("saga resume 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the gateway is repaired'"))]
    Resume(Operated),
    /// Leave out the step in hand of a stuck saga, or take its failed compensation for done by hand
    #[command(after_help = examples("saga skip 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --step notify-customer --reason 'told by telephone'"))]
    Skip(SkipArgs),
    /// End a stuck saga as it is: whatever is still owed is waived
    #[command(after_help = examples("saga resolve 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'refunded by hand, ticket 4711'"))]
    Resolve(Operated),
    /// Look through messages that changed nothing, send one again or put it away
    #[command(subcommand, after_help = examples("saga dead-letters list --status NEW"))]
    DeadLetters(LetterCommand),
    /// List who asked for what, and what came of it, newest first
    #[command(after_help = examples("saga audit-log
  saga audit-log --saga-id 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --action replay"))]
    AuditLog(AuditLogArgs),
}

pub(super) fn examples(commands: &str) -> String {
    format!("Examples:\n  {commands}")
}

/// Where the orchestrator is, and how to talk to it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Where the orchestrator listens
    #[arg(long, env = "SAGA_URL", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub saga_url: String,

    /// The secret of an API key
    #[arg(long, env = "SAGA_API_KEY", value_name = "SECRET", hide_env_values = true)]
    pub saga_api_key: Option<String>,

    /// Print the body of the answer, as it came
    #[arg(long)]
    pub json: bool,
}

/// Which part of a list.
#[derive(Args, Clone, Debug)]
pub struct Pages {
    /// How many, at most 200; the server's default is 50
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<u64>,

    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

impl Pages {
    /// Asks for that part.
    pub fn of(self, request: Request) -> Request {
        request.query("limit", self.limit.map(|limit| limit.to_string())).query("cursor", self.cursor)
    }
}

/// One saga.
#[derive(Args, Clone, Debug)]
pub struct Chosen {
    /// The id of the saga (or of the order: it is the same)
    pub id: SagaId,

    #[command(flatten)]
    pub server: Server,
}

/// Something done to a saga.
#[derive(Args, Clone, Debug)]
pub struct Operated {
    /// The id of the saga (or of the order: it is the same)
    pub id: SagaId,

    /// Why; it goes into the saga's history and the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Only if the saga is at this revision
    #[arg(long, value_name = "NUMBER")]
    pub revision: Option<u32>,

    #[command(flatten)]
    pub server: Server,
}

/// What is started.
#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    /// The name of the definition, such as order-fulfilment
    pub definition: String,

    /// A file with the input as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    pub input: Input,

    /// What the business calls it
    #[arg(long, value_name = "TEXT")]
    pub business_key: Option<String>,

    /// Started with the same key before: that saga is the answer, and none is started
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,

    #[command(flatten)]
    pub server: Server,
}

/// How a step is asked again.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub operated: Operated,

    /// The step to go on from, which must be the one in hand
    #[arg(long, value_name = "STEP")]
    pub from_step: Option<String>,

    /// A file with another input for the step, as JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<Input>,
}

/// What is left out.
#[derive(Args, Clone, Debug)]
pub struct SkipArgs {
    #[command(flatten)]
    pub operated: Operated,

    /// The step in hand
    #[arg(long, value_name = "STEP")]
    pub step: String,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    File(PathBuf),
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        if text == "-" { Self::Stdin } else { Self::File(text.into()) }
    }
}

impl Input {
    /// Reads it.
    ///
    /// # Errors
    /// Wrong usage: it cannot be read, or is not JSON.
    pub fn read(&self) -> Result<RawJson, Stop> {
        let mut text = String::new();
        let (name, read) = match self {
            Self::Stdin => ("standard input".to_owned(), std::io::stdin().read_to_string(&mut text).map(drop)),
            Self::File(path) => {
                (path.display().to_string(), std::fs::read_to_string(path).map(|content| text = content))
            }
        };
        read.map_err(|error| Stop::Usage(format!("cannot read the input from {name}: {error}")))?;
        RawJson::from_string(text).map_err(|error| Stop::Usage(format!("{name} is not JSON: {error}")))
    }
}
