//! A TCP proxy before the database, which a test can freeze or cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with a connection when it comes across a text from the client, once.
#[derive(Clone, Copy, Debug)]
pub enum Trap {
    /// Cuts it; the text has not reached the server.
    CutBefore(&'static str),
    /// Lets the text through, and cuts it when the server answers; the client hears nothing of it.
    CutAfter(&'static str),
    /// Lets nothing more through, in either direction, and keeps it.
    FreezeBefore(&'static str),
}

impl Trap {
    fn text(self) -> &'static str {
        match self {
            Trap::CutBefore(text) | Trap::CutAfter(text) | Trap::FreezeBefore(text) => text,
        }
    }
}

pub struct Proxy {
    pub address: SocketAddr,
    switches: Switches,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Switches {
    trap: Arc<watch::Sender<Option<Trap>>>,
    /// Whether a trap has snapped.
    snapped: Arc<watch::Sender<bool>>,
    stopped: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// A proxy before the server at `host:port`.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let switches = Switches {
            trap: Arc::new(watch::Sender::new(None)),
            snapped: Arc::new(watch::Sender::new(false)),
            stopped: Arc::new(watch::Sender::new(false)),
        };
        let connections = switches.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(connections.clone().connection(client, upstream));
            }
        });
        Self { address, switches, accepting }
    }

    pub fn set(&self, trap: Trap) {
        self.switches.trap.send_replace(Some(trap));
    }

    /// Waits until the trap has snapped.
    pub async fn snapped(&self) {
        self.switches.snapped.subscribe().wait_for(|snapped| *snapped).await.unwrap();
    }

    /// Cuts all connections and takes no more: the server is gone.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        // The listener goes with the task.
        let _ = (&mut self.accepting).await;
        self.switches.stopped.send_replace(true);
    }
}

impl Switches {
    /// Carries one connection until an end or the proxy cuts it.
    async fn connection(self, mut client: TcpStream, mut server: TcpStream) {
        let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                () = self.until_stopped() => return,
                read = client.read(&mut sent) => {
                    let Ok(1..) = read else { return };
                    let bytes = &sent[..read.unwrap()];
                    match self.springs(bytes) {
                        None => {}
                        Some(Trap::CutBefore(_)) => return,
                        Some(Trap::CutAfter(_)) => {
                            server.write_all(bytes).await.unwrap();
                            server.read_u8().await.unwrap();
                            return;
                        }
                        Some(Trap::FreezeBefore(_)) => {
                            self.until_stopped().await;
                            return;
                        }
                    }
                    if server.write_all(bytes).await.is_err() { return }
                }
                read = server.read(&mut answered) => {
                    let Ok(1..) = read else { return };
                    if client.write_all(&answered[..read.unwrap()]).await.is_err() { return }
                }
            }
        }
    }

    async fn until_stopped(&self) {
        self.stopped.subscribe().wait_for(|stopped| *stopped).await.unwrap();
    }

    /// The trap, if these bytes spring it: it is gone then.
    fn springs(&self, bytes: &[u8]) -> Option<Trap> {
        let mut sprung = None;
        self.trap.send_if_modified(|trap| {
            sprung = trap.take_if(|trap| bytes.windows(trap.text().len()).any(|part| part == trap.text().as_bytes()));
            sprung.is_some()
        });
        if sprung.is_some() {
            self.snapped.send_replace(true);
        }
        sprung
    }
}
