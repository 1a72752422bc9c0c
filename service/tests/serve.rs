//! Ending well, over real connections.

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use common::{FOREVER, Server, read_to_end};
use service::exit::Stop;
use service::health::{Effect, Health};
use service::http::bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const GET: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";

/// A route that begins, says so, and waits to be let go.
struct Slow {
    begun: Arc<Notify>,
    let_go: Arc<Notify>,
    routes: Router,
}

fn slow() -> Slow {
    let (begun, let_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (in_begun, in_let_go) = (begun.clone(), let_go.clone());
    let handler = async move || {
        in_begun.notify_one();
        in_let_go.notified().await;
        "done"
    };
    let routes = Router::new().route("/slow", get(handler)).route("/quick", get(async || "quick"));
    Slow { begun, let_go, routes }
}

#[tokio::test]
async fn requests_in_flight_are_answered_and_nothing_new_is_taken() {
    let Slow { begun, let_go, routes } = slow();
    let server = Server::start(routes).await;
    let addr = server.addr;
    let mut client = server.connect().await;
    client.write_all(GET).await.unwrap();
    begun.notified().await;

    server.shutdown.at_once();
    // The listener closes on its own time: asked until it has.
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let_go.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn during_the_grace_connections_are_answered_and_sent_elsewhere() {
    let health = Health::new();
    health.register("postgres", Effect::NotReady).up();
    let Slow { begun, let_go, routes } = slow();
    let server = Server::start(routes.merge(health.routes())).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let mut in_flight = server.connect().await;
    in_flight.write_all(GET).await.unwrap();
    begun.notified().await;

    health.drain();
    server.shutdown.drain();
    for (path, status) in [("/readyz", 503), ("/livez", 200), ("/quick", 200)] {
        // A client without a connection, as a load balancer that looks.
        let response = tokio::time::timeout(FOREVER, reqwest::get(server.url(path))).await.unwrap().unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()["connection"], "close", "{path}");
    }
    // One that is open is not closed under its client, but after the next answer.
    idle.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut idle).await.ends_with("quick"));

    server.shutdown.at_once();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let_go.notify_one();
    assert!(read_to_end(&mut in_flight).await.ends_with("done"));
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn who_was_let_in_before_the_door_closed_is_answered() {
    let server = Server::start(slow().routes).await;
    drop(server.connect().await); // it listens
    // The system lets them in; nothing of ours runs in between.
    let connected: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(server.addr).unwrap()).collect();
    server.shutdown.at_once();
    for stream in connected {
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        stream.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.ends_with("quick"), "{answer}");
    }
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn idle_and_unused_connections_do_not_hold_the_end_up() {
    let server = Server::start(slow().routes).await;
    let mut unused = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(b"GET /quick HT").await.unwrap();
    // Connections are accepted in order: once this one is answered, the others are open too.
    let mut idle = server.connect().await;
    idle.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    assert!(idle.read(&mut answer).await.unwrap() > 0);

    server.shutdown.at_once();
    for connection in [&mut idle, &mut unused, &mut half] {
        assert_eq!(read_to_end(connection).await, "");
    }
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let Slow { begun, routes, .. } = slow();
    let server = Server::start_with(routes, Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    client.write_all(GET).await.unwrap();
    begun.notified().await;
    server.shutdown.at_once();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(server.ended().await, 1);
}

#[tokio::test]
async fn a_taken_port_is_said_plainly() {
    let first = bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = first.local_addr().unwrap().to_string();
    let error = bind(&addr.parse().unwrap()).await.unwrap_err();
    assert!(matches!(&error, Stop::Failed(why) if why.contains(&addr) && why.contains("another process")), "{error}");
}

#[tokio::test]
async fn health_is_told() {
    let health = Health::new();
    let postgres = health.register("postgres", Effect::NotReady);
    let kafka = health.register("kafka", Effect::Degraded);
    let server = Server::start(health.routes()).await;
    let ask = async |path: &str| {
        let response = tokio::time::timeout(FOREVER, reqwest::get(server.url(path))).await.unwrap().unwrap();
        (response.status().as_u16(), response.json::<serde_json::Value>().await.unwrap())
    };
    assert_eq!(ask("/livez").await.0, 200);
    let (code, body) = ask("/readyz").await;
    assert_eq!((code, &body["status"]), (503, &"not ready".into()));
    assert_eq!(body["dependencies"]["postgres"]["status"], "down");
    assert!(body["dependencies"]["postgres"]["detail"].is_string());

    postgres.up();
    kafka.down("connection refused");
    let (code, body) = ask("/readyz").await;
    assert_eq!((code, &body["status"]), (200, &"degraded".into()));
    assert_eq!(body["dependencies"]["kafka"], serde_json::json!({"status": "down", "detail": "connection refused"}));

    kafka.up();
    let (code, body) = ask("/readyz").await;
    assert_eq!((code, &body["status"]), (200, &"ready".into()));
    assert_eq!(body["dependencies"]["postgres"]["status"], "up");

    health.drain();
    assert_eq!(ask("/readyz").await.0, 503);
    assert_eq!(ask("/livez").await.0, 200);
}
