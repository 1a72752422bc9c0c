//! The operator's commands: a client of the HTTP API and nothing else.
//!
//! Standard output has the answer: a tree for people, or with `--json` the body as it came, one document. What went
//! wrong is said on standard error, with what to do about it; with `--json` a refusal's document is the answer.

mod args;
mod audit_log;
mod client;
mod letters;
mod refusal;
mod show;
mod table;
mod watch;

use std::io::{self, Write};

use saga_model::event::Action;
use serde::Serialize;
use service::exit::Stop;

pub use args::ClientCommand;

use args::{Input, Operated, Server, StartArgs};
use client::{Client, Reply, Request};

/// Runs a command; what it answers goes to `out`.
///
/// # Errors
/// Why it did not do what it was asked, for standard error; the process ends with the code that goes with it.
pub async fn run(command: ClientCommand, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    match command {
        ClientCommand::Show(args) => {
            let reply = Client::new(&args.server)?.ask(Request::get(&["sagas", &args.id.to_string()])).await?;
            finish(&args.server, &reply, out)
        }
        ClientCommand::Watch(args) => watch::watch(&args, out).await,
        ClientCommand::Start(args) => start(args, out).await,
        ClientCommand::Replay(args) => {
            let input = args.input.as_ref().map(Input::read).transpose()?;
            let body = Body { from_step: args.from_step.as_deref(), input, ..Body::default() };
            act(Action::Replay, args.operated, body, out).await
        }
        ClientCommand::Skip(args) => {
            let body = Body { step: Some(&args.step), ..Body::default() };
            act(Action::Skip, args.operated, body, out).await
        }
        ClientCommand::Cancel(args) => act(Action::Cancel, args, Body::default(), out).await,
        ClientCommand::Compensate(args) => act(Action::Compensate, args, Body::default(), out).await,
        ClientCommand::Pause(args) => act(Action::Pause, args, Body::default(), out).await,
        ClientCommand::Resume(args) => act(Action::Resume, args, Body::default(), out).await,
        ClientCommand::Resolve(args) => act(Action::Resolve, args, Body::default(), out).await,
        ClientCommand::DeadLetters(command) => letters::run(command, out).await,
        ClientCommand::AuditLog(args) => audit_log::run(args, out).await,
    }
}

/// The body of a request: what it has of these.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<saga_model::json::RawJson>,
}

async fn start(args: StartArgs, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let input = Some(args.input.read()?);
    let body = Body { business_key: args.business_key.as_deref(), input, ..Body::default() };
    let mut request = Request::post(&["sagas", &args.definition], &body)?;
    if let Some(key) = &args.idempotency_key {
        request = request.header("Idempotency-Key", key);
    }
    let reply = Client::new(&args.server)?.ask(request).await?;
    finish(&args.server, &reply, out)
}

async fn act(action: Action, args: Operated, body: Body<'_>, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let body = Body { reason: Some(&args.reason), ..body };
    let mut request = Request::post(&["admin", "sagas", &args.id.to_string(), action.as_str()], &body)?;
    if let Some(revision) = args.revision {
        request = request.header("If-Match", &format!("\"{revision}\""));
    }
    let reply = Client::new(&args.server)?.ask(request).await?;
    finish(&args.server, &reply, out)
}

/// Prints a saga that was answered, or says why none was.
fn finish(server: &Server, reply: &Reply, out: &mut dyn Write) -> Result<(), Stop> {
    finish_with(server, reply, out, show::tree)
}

/// Prints what was answered, as `shown` has it for people, or says why nothing was.
fn finish_with(
    server: &Server,
    reply: &Reply,
    out: &mut dyn Write,
    shown: impl FnOnce(&Reply) -> Result<String, Stop>,
) -> Result<(), Stop> {
    if server.json && (reply.is_json || reply.is_success()) {
        print(out, reply.body.trim_end())?;
    }
    if !reply.is_success() {
        return Err(Stop::Failed(refusal::explain(reply)));
    }
    if server.json && !reply.is_json {
        return Err(Stop::Failed(format!(
            "{} does not answer as an orchestrator does: check SAGA_URL",
            server.saga_url
        )));
    }
    if server.json { Ok(()) } else { print(out, shown(reply)?.trim_end()) }
}

/// Whoever answered is no orchestrator, or a newer one.
fn unreadable(what: &str, error: &serde_json::Error) -> Stop {
    Stop::Failed(format!("the answer is no {what} that this client can read ({error}); --json prints it as it is"))
}

/// Writes a text and ends the line.
fn print(out: &mut dyn Write, text: &str) -> Result<(), Stop> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever reads it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Stop::Failed(format!("cannot write the answer: {error}"))),
    }
}
