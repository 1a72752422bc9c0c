//! Starting sagas over HTTP: what `POST /orders` and `POST /sagas/{definition}` share.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use saga_model::event::Actor;
use saga_model::json::RawJson;
use service::http::{RequestTrace, idempotency_key};
use service::keys::Caller;
use service::problem::{Code, Problem};
use service::traceparent::{TraceParent, new_trace_id, span_id_of};
use uuid::Uuid;

use super::Api;
use crate::engine::{KeyedRequest, StartError, StartRequest, Started};
use crate::store::rows::IdempotencyKey;

/// How long a start may take, looking for its key included, before the client hears that the database is away.
const PATIENCE: Duration = Duration::from_millis(4_900);

/// A request to begin something new, before its body is read. Once the process is to end it begins nothing, though it
/// answers for a while: what is asked for then finds an instance that stays. What was asked for before is done.
#[derive(Debug)]
pub struct Beginning {
    pub caller: Caller,
    pub trace: RequestTrace,
}

impl FromRequestParts<Arc<Api>> for Beginning {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        if api.draining.is_cancelled() {
            let detail = "the instance is ending and starts nothing new; nothing was stored, ask again";
            return Err(Problem::new(Code::NotReady, detail));
        }
        let caller = Caller::from_request_parts(parts, api).await?;
        let Ok(trace) = RequestTrace::from_request_parts(parts, api).await;
        Ok(Self { caller, trace })
    }
}

/// Who starts something, where, and under which key.
#[derive(Debug)]
pub struct Asker<'a> {
    /// The path of the request: keys are separate for each.
    pub path: Cow<'a, str>,
    pub caller: Caller,
    pub key: Option<String>,
    pub trace: RequestTrace,
}

/// What is to be started.
#[derive(Debug)]
pub struct Wish {
    pub definition: String,
    pub input: RawJson,
    /// Set for an order: whose it is.
    pub user_id: Option<Uuid>,
    pub business_key: Option<String>,
}

impl<'a> Asker<'a> {
    /// Reads what the headers say.
    ///
    /// # Errors
    /// 400 for an `Idempotency-Key` that is none, or two.
    pub fn new(path: impl Into<Cow<'a, str>>, beginning: Beginning, headers: &HeaderMap) -> Result<Self, Problem> {
        let Beginning { caller, trace } = beginning;
        Ok(Self { path: path.into(), caller, key: idempotency_key(headers)?, trace })
    }

    /// Starts what is wished for, or finds what an earlier request with the same key started. `fingerprint` is equal for
    /// two requests exactly if they ask for the same; it is worked out only where there is a key to compare it for.
    ///
    /// # Errors
    /// What the client is told; but for a commit in doubt, nothing was stored.
    pub async fn start(
        self,
        api: &Api,
        wish: Wish,
        fingerprint: impl FnOnce() -> String + Send,
    ) -> Result<Started, Problem> {
        let Wish { definition, input, user_id, business_key } = wish;
        let key = self.key.map(|key| {
            // Callers without a key share one space of idempotency keys, which no key's name can be.
            let caller = self.caller.name().unwrap_or_default().to_owned();
            let key = IdempotencyKey { caller, path: self.path.into_owned(), key };
            KeyedRequest { key, fingerprint: fingerprint() }
        });
        let name = self.caller.name().unwrap_or("anonymous").to_owned();
        let request = StartRequest {
            definition,
            input,
            user_id,
            business_key,
            key,
            traceparent: written(root_of(self.trace)?),
            actor: Actor::Key(name),
        };
        // The engine goes on with it all the same; with a key, a repeat finds what became of it.
        let started = tokio::time::timeout(PATIENCE, api.engine.begin(request)).await;
        let error = match started {
            Ok(Ok(started)) => return Ok(started),
            Ok(Err(error)) => error,
            Err(_) => StartError::InDoubt,
        };
        let owns_nothing = matches!(error, StartError::Unavailable(_)) && api.owns_nothing().await;
        Err(refused(error, owns_nothing))
    }
}

/// Under which span the saga goes on: the request's own, or (if nobody traces) one of a trace that begins here.
fn root_of(RequestTrace(trace): RequestTrace) -> Result<TraceParent, Problem> {
    let begun = || {
        let trace = new_trace_id();
        TraceParent::new(trace, span_id_of(&trace.to_string()), true)
    };
    trace.or_else(begun).ok_or_else(|| Problem::internal(&"a new trace has an id of zero"))
}

fn written(trace: TraceParent) -> String {
    const LENGTH: usize = 55;
    let mut text = String::with_capacity(LENGTH);
    // A text takes whatever is written to it.
    let _written = write!(text, "{trace}");
    text
}

/// What the client is told of a saga that was not started; `owns_nothing` if that is why.
fn refused(error: StartError, owns_nothing: bool) -> Problem {
    let said = error.to_string();
    match error {
        StartError::Overloaded => Problem::new(Code::Overloaded, said),
        StartError::Unavailable(_) if owns_nothing => {
            Problem::new(Code::NotReady, "this instance owns no shard at the moment; nothing was stored, ask again")
        }
        StartError::Unavailable(_) | StartError::InDoubt => Problem::new(Code::Unavailable, said),
        StartError::KeyReused => Problem::new(Code::IdempotencyKeyReused, said),
        StartError::Failed(_) => Problem::internal(&said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_is_told() {
        let why = || "why".to_owned();
        for (error, owns_nothing, status, code) in [
            (StartError::Overloaded, false, 503, "OVERLOADED"),
            (StartError::Unavailable(why()), false, 503, "UNAVAILABLE"),
            (StartError::Unavailable(why()), true, 503, "NOT_READY"),
            (StartError::InDoubt, false, 503, "UNAVAILABLE"),
            (StartError::KeyReused, false, 422, "IDEMPOTENCY_KEY_REUSED"),
            (StartError::Failed(why()), false, 500, "INTERNAL_ERROR"),
        ] {
            let problem = refused(error, owns_nothing);
            assert_eq!((problem.status().as_u16(), problem.code().as_str()), (status, code));
        }
        assert!(
            refused(StartError::InDoubt, false).detail().contains("may or may not"),
            "it is not told that nothing was stored"
        );
    }
}
