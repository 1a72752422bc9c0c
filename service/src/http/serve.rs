//! Listening, and ending well: what is in flight is answered, then connections close.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::bare::Documented;
use super::drain::Rest;
use super::late::Punctual;
use crate::exit::Stop;
use crate::settings::ListenAddr;
use crate::shutdown::Shutdown;

/// The longest head of a request: what a connection may take in before it knows what is asked.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most headers of a request. This is what hyper takes unless it is told otherwise; told the same, it would be
/// slower.
pub(super) const MAX_HEADERS: usize = 100;

/// How long a client may take to send the head of a request, and a connection may stay idle.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long a connection that has not asked for anything yet may still begin to, while the process ends.
const LAST_CALL: Duration = Duration::from_millis(500);

/// How long to wait when the system has no more connections to give (out of file descriptors).
const SHORT_OF_CONNECTIONS: Duration = Duration::from_millis(200);

/// What answers requests, and is always ready to: a `Router`, or what leads to one.
pub trait Routes:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Routes for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// Listens at an address.
///
/// # Errors
/// [`Stop::Failed`], with what to do about it.
pub async fn bind(addr: &ListenAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(addr.as_str()).await.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there; stop it, or choose another HTTP_ADDR",
            io::ErrorKind::PermissionDenied => "this user may not listen there; choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose another HTTP_ADDR",
            _ => "choose another HTTP_ADDR", // whatever else the system says, it stands in the message
        };
        Stop::Failed(format!("cannot listen at {addr}: {error} ({advice})"))
    })
}

/// Serves `routes` until the process closes ([`Shutdown::closing`]). While it drains, connections are accepted and
/// answered, and told to go elsewhere for the next request. Then nothing more is accepted, the requests in flight are
/// answered, and what is not done `hard_stop` after the process began to drain is cut off. Returns how many were.
///
/// Endless answers (event streams) have to watch [`Shutdown::draining`] and end by themselves.
pub async fn serve(listener: TcpListener, routes: impl Routes, shutdown: Shutdown, hard_stop: Duration) -> usize {
    let mut connections = JoinSet::new();
    let mut draining_since = None;
    loop {
        tokio::select! {
            () = shutdown.closing().cancelled() => break,
            () = shutdown.draining().cancelled(), if draining_since.is_none() => draining_since = Some(Instant::now()),
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, routes.clone(), shutdown.clone()));
                }
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "Cannot accept connections; trying again");
                    tokio::select! {
                        () = shutdown.closing().cancelled() => break,
                        () = tokio::time::sleep(SHORT_OF_CONNECTIONS) => {}
                    }
                }
            },
        }
    }
    for stream in still_waiting(listener) {
        connections.spawn(connection(stream, routes.clone(), shutdown.clone()));
    }
    let all = async { while connections.join_next().await.is_some() {} };
    let until = draining_since.unwrap_or_else(Instant::now) + hard_stop;
    if tokio::time::timeout_at(until, all).await.is_ok() {
        return 0;
    }
    let left = connections.len();
    tracing::warn!(connections = left, "Requests were not done in time and are cut off");
    connections.shutdown().await;
    left
}

/// Closes the listener. Whoever it has let in already, and nobody has looked at yet, is not to be cut off.
fn still_waiting(listener: TcpListener) -> Vec<TcpStream> {
    // What the system refuses here concerns clients that nobody has heard of.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok()); // it never waits
    accepted
        .filter_map(|(stream, _)| stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).ok())
        .collect()
}

fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, routes: impl Routes, shutdown: Shutdown) {
    // Answers are written whole: waiting for more to send would only delay them. Where the system cannot, it is slower.
    let _slower = stream.set_nodelay(true);
    let asked = AtomicBool::new(false);
    // Shared by the requests of this connection: to clone the token itself takes a lock that all connections share.
    let draining = Arc::new(shutdown.draining().clone());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let answer = answer(request, routes.clone(), draining.clone());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Documented::new(stream)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A client that breaks off is its own affair.
        _ended = connection.as_mut() => return,
        () = shutdown.closing().cancelled() => {}
    }
    if !asked.load(Ordering::Relaxed) {
        // It has just been let in, or was opened and never used (browsers do), and would be waited for until the end.
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = tokio::time::sleep(LAST_CALL) => {}
        }
        if !asked.load(Ordering::Relaxed) {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

async fn answer<S: Routes>(
    request: hyper::Request<Incoming>,
    mut routes: S,
    draining: Arc<CancellationToken>,
) -> Response {
    let (head, body) = request.into_parts();
    let (body, rest) = if body.is_end_stream() {
        (Body::empty(), None)
    } else {
        let (body, rest) = Rest::of(&head, Punctual::new(body, draining.clone()));
        (body, Some(rest))
    };
    let answer = routes.call(Request::from_parts(head, body)).await;
    let mut response = answer.unwrap_or_else(|never| match never {});
    if let Some(rest) = rest {
        rest.take(response.status()).await;
    }
    if draining.is_cancelled() {
        // The next request finds a process that stays.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
