//! `saga dead-letters`: messages that changed nothing.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use saga_model::ids::parse_uuid;
use serde::{Deserialize, Serialize};
use service::exit::Stop;
use uuid::Uuid;

use super::args::{Pages, Server, examples};
use super::client::{Client, Reply, Request};
use super::table::{or_dash, table, visible};
use super::{finish_with, unreadable};

/// What can be done with dead letters.
#[derive(Subcommand, Clone, Debug)]
pub enum LetterCommand {
    /// List dead letters, newest first
    #[command(after_help = examples("saga dead-letters list
  saga dead-letters list --status NEW --topic payment.commands --code NOT_JSON"))]
    List(ListArgs),
    /// Show a dead letter whole: where it was read, what is wrong with it, its headers and its value
    #[command(after_help = examples("saga dead-letters show 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11
  saga dead-letters show 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --json | jq -r .valueBase64 | base64 -d"))]
    Show(Chosen),
    /// Send a dead letter's message to its topic again, as it came
    #[command(after_help = examples("saga dead-letters replay 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'the worker is mended'"))]
    Replay(Settled),
    /// Put a dead letter away: nothing is sent
    #[command(after_help = examples("saga dead-letters discard 0199e0a5-3c1e-7b1a-9d0e-2f6f1f0e7a11 --reason 'a test message'"))]
    Discard(Settled),
}

/// Which dead letters.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// NEW, REPLAYED or DISCARDED
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,

    /// The topic on which it was read
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// What is wrong with it, such as NOT_JSON
    #[arg(long, value_name = "CODE")]
    code: Option<String>,

    #[command(flatten)]
    pages: Pages,

    #[command(flatten)]
    server: Server,
}

/// One dead letter.
#[derive(Args, Clone, Debug)]
pub struct Chosen {
    /// The id of the dead letter
    #[arg(value_parser = parse_uuid)]
    id: Uuid,

    #[command(flatten)]
    server: Server,
}

/// One dead letter, and why something is done about it.
#[derive(Args, Clone, Debug)]
pub struct Settled {
    #[command(flatten)]
    chosen: Chosen,

    /// Why; it goes into the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    dead_letters: Vec<Letter>,
    next_cursor: Option<String>,
    total: u64,
}

/// What is read of a dead letter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    key: Option<String>,
    value_base64: Option<String>,
    code: String,
    detail: String,
    saga_id: Option<String>,
    at: String,
    status: String,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    name: String,
    value_base64: String,
}

/// How an answer is shown to people.
type Shown = fn(&Reply) -> Result<String, Stop>;

/// Runs a command.
///
/// # Errors
/// Why it did not do what it was asked.
pub async fn run(command: LetterCommand, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let (request, server, shown): (Request, Server, Shown) = match command {
        LetterCommand::List(args) => {
            let request = Request::get(&["admin", "dead-letters"])
                .query("status", args.status)
                .query("topic", args.topic)
                .query("code", args.code);
            (args.pages.of(request), args.server, list)
        }
        LetterCommand::Show(args) => {
            (Request::get(&["admin", "dead-letters", &args.id.to_string()]), args.server, letter)
        }
        LetterCommand::Replay(args) => (settle(&args, "replay")?, args.chosen.server, letter),
        LetterCommand::Discard(args) => (settle(&args, "discard")?, args.chosen.server, letter),
    };
    let reply = Client::new(&server)?.ask(request).await?;
    finish_with(&server, &reply, out, shown)
}

fn settle(args: &Settled, action: &str) -> Result<Request, Stop> {
    #[derive(Serialize)]
    struct Body<'a> {
        reason: &'a str,
    }
    let id = args.chosen.id.to_string();
    Request::post(&["admin", "dead-letters", &id, action], &Body { reason: &args.reason })
}

fn list(reply: &Reply) -> Result<String, Stop> {
    let page: Page = serde_json::from_str(&reply.body).map_err(|error| unreadable("list of dead letters", &error))?;
    let count = page.dead_letters.len();
    let rows = page.dead_letters.into_iter().map(|letter| {
        let (place, saga) = (letter.place(), or_dash(letter.saga_id.as_deref()));
        [letter.id, letter.at, letter.status, letter.code, place, saga, letter.detail]
    });
    let mut text = table(["ID", "AT", "STATUS", "CODE", "READ FROM", "SAGA", "DETAIL"], rows);
    text.push_str(&format!("{count} of {}\n", page.total));
    if let Some(cursor) = page.next_cursor {
        text.push_str(&format!("the next page: --cursor {cursor}\n"));
    }
    Ok(text)
}

fn letter(reply: &Reply) -> Result<String, Stop> {
    let letter: Letter = serde_json::from_str(&reply.body).map_err(|error| unreadable("dead letter", &error))?;
    let mut lines = vec![
        ("dead letter", letter.id.clone()),
        ("status", letter.status.clone()),
        ("read from", format!("{} at {}", letter.place(), letter.at)),
        ("wrong", format!("{} ({})", letter.detail, letter.code)),
        ("saga", or_dash(letter.saga_id.as_deref())),
        ("key", or_dash(letter.key.as_deref())),
    ];
    lines.extend(
        letter.headers.iter().map(|header| ("header", format!("{}: {}", header.name, content(&header.value_base64)))),
    );
    lines.push(("value", letter.value_base64.as_deref().map_or_else(|| "-".to_owned(), content)));
    let line = |(name, text): (&str, String)| format!("{name:<11}  {}\n", visible(&text));
    Ok(lines.into_iter().map(line).collect())
}

impl Letter {
    fn place(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Bytes as the text that they are, or else in base64.
fn content(base64: &str) -> String {
    let text = STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| format!("base64 {base64}"))
}
