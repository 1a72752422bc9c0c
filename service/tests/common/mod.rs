//! A real server on a port of its own, for the tests of this crate.
#![allow(dead_code)] // each test file uses a part of it

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use service::http::serve;
use service::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes, so that a test that waits for what never comes fails and does not hang.
pub const FOREVER: Duration = Duration::from_secs(20);

pub struct Server {
    pub addr: SocketAddr,
    pub shutdown: Shutdown,
    serving: JoinHandle<usize>,
}

impl Server {
    pub async fn start(routes: Router) -> Self {
        Self::start_with(routes, FOREVER).await
    }

    pub async fn start_with(routes: Router, hard_stop: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(serve(listener, routes, shutdown.clone(), hard_stop));
        Self { addr, shutdown, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Sends bytes and reads until the server closes.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// How many requests were cut off.
    pub async fn ended(self) -> usize {
        tokio::time::timeout(FOREVER, self.serving).await.expect("the server does not end").unwrap()
    }
}

pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(FOREVER, stream.read_to_end(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    String::from_utf8(answer).unwrap()
}
