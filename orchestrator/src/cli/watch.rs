//! Following a saga until it is at rest.

use std::io::Write;
use std::time::{Duration, Instant};

use saga_model::state::SagaStatus;
use serde::Deserialize;
use service::exit::Stop;

use super::args::Chosen;
use super::client::{Client, Reply, Request};
use super::{finish, print, refusal, show};

/// How long an orchestrator that answered before may be away: instances are replaced.
const MAY_BE_AWAY: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);
/// Seconds that a request waits for the saga to come to rest: for a person, who wants to see what happens, and
/// for a script.
const GLANCE: u64 = 1;
const LONG: u64 = 60;

/// What is read of an entry of the history.
#[derive(Deserialize)]
struct Event {
    seq: u32,
    at: String,
    r#type: String,
    step: Option<String>,
    round: Option<u32>,
    attempt: Option<u32>,
    actor: String,
}

#[derive(Deserialize)]
struct History {
    events: Vec<Event>,
}

/// Follows a saga: for a person, transition by transition; the saga at rest is the answer.
///
/// # Errors
/// If it cannot be found or the orchestrator stays away.
pub async fn watch(args: &Chosen, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let client = Client::new(&args.server)?;
    let id = args.id.to_string();
    let seconds = if args.server.json { LONG } else { GLANCE };
    let (mut seen, mut known) = (0, false);
    loop {
        let reply = patiently(&client, known, || Request::get(&["sagas", &id]).wait(seconds)).await?;
        if !reply.is_success() {
            return finish(&args.server, &reply, out);
        }
        known = true;
        let saga = show::saga(&reply.body)?;
        if !args.server.json && saga.revision > seen {
            let history = patiently(&client, known, || Request::get(&["sagas", &id, "history"])).await?;
            seen = print_after(seen, &history, out)?;
        }
        if at_rest(saga.status) {
            return finish(&args.server, &reply, out);
        }
    }
}

/// Asks; once the orchestrator has answered, it may be away for a while.
async fn patiently(client: &Client, known: bool, request: impl Fn() -> Request) -> Result<Reply, Stop> {
    let since = Instant::now();
    loop {
        let answer = client.ask(request()).await;
        let away = match &answer {
            Ok(reply) => reply.status.is_server_error(),
            Err(Stop::Failed(_)) => true,
            Err(Stop::Usage(_)) => false,
        };
        if !away || !known || since.elapsed() > MAY_BE_AWAY {
            return answer;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints what has happened since `seen` and answers the last of it.
fn print_after(seen: u32, history: &Reply, out: &mut dyn Write) -> Result<u32, Stop> {
    if !history.is_success() {
        return Err(Stop::Failed(refusal::explain(history)));
    }
    let History { events } = serde_json::from_str(&history.body)
        .map_err(|error| Stop::Failed(format!("the answer is no history that this client can read ({error})")))?;
    let mut last = seen;
    for event in events.iter().filter(|event| event.seq > seen) {
        print(out, &event.line())?;
        last = last.max(event.seq);
    }
    Ok(last)
}

impl Event {
    fn line(&self) -> String {
        let Self { seq, at, r#type, step, round, attempt, actor } = self;
        let step = step.as_deref().map_or_else(String::new, |step| format!("  {step}"));
        let round = round.filter(|round| *round > 1).map_or_else(String::new, |round| format!(", round {round}"));
        let attempt = attempt.map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
        format!("{seq:>4}  {at}  {type}{step}{round}{attempt}  ({actor})")
    }
}

fn at_rest(status: SagaStatus) -> bool {
    match status {
        SagaStatus::Running | SagaStatus::Compensating => false,
        SagaStatus::Paused
        | SagaStatus::Stuck
        | SagaStatus::Completed
        | SagaStatus::Compensated
        | SagaStatus::Resolved => true,
    }
}
