//! A TCP proxy on an edge of the system, with the weather of a bad network.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fault::Rough;

/// What the connections of an edge suffer, those that are there and new ones.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Weather {
    Fair,
    Rough(Rough),
    /// Requests go through; the connection is reset when the server answers.
    CutAnswers,
}

/// One edge. It listens as long as the program runs.
pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// A proxy before the server at `host:port`, which need not be there yet.
    pub async fn before(server: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let weather = watch::Sender::new(Weather::Fair);
        let seen = weather.subscribe();
        tokio::spawn(async move {
            // Without a sender the proxy is gone.
            while seen.has_changed().is_ok() {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(carry(client, server.clone(), seen.clone()))),
                    // Out of descriptors: some will be given back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(Self { address, weather })
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// One side has closed it.
    Closed,
    Reset,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Requests,
    Answers,
}

/// Carries one connection to its end.
async fn carry(mut client: TcpStream, server: String, mut weather: watch::Receiver<Weather>) {
    let ready = weather.wait_for(|now| *now != Weather::Rough(Rough::HalfOpen)).await.map(|now| *now);
    let upstream = match ready {
        Ok(Weather::Rough(Rough::Cut)) | Err(_) => None,
        Ok(_) => TcpStream::connect(&server).await.ok(), // a server that is away refuses the client too
    };
    let Some(mut upstream) = upstream else { return reset(&client) };
    for stream in [&client, &upstream] {
        let _ = stream.set_nodelay(true); // only for speed
    }
    let doomed = AtomicBool::new(false);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), upstream.split());
    let end = tokio::select! {
        end = one_way(Way::Requests, from_client, to_server, weather.clone(), &doomed) => end,
        end = one_way(Way::Answers, from_server, to_client, weather.clone(), &doomed) => end,
    };
    if end == End::Reset {
        reset(&client);
        reset(&upstream);
    }
}

/// Makes the close that follows a reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger(); // else it is an ordinary close
}

/// `doomed`: the server has what the client will never hear of.
async fn one_way(
    way: Way,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    doomed: &AtomicBool,
) -> End {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Rough(Rough::Cut) => return End::Reset,
            Weather::Rough(Rough::HalfOpen) => {
                if weather.changed().await.is_err() {
                    return End::Closed;
                }
                continue;
            }
            _ => {}
        }
        let read = tokio::select! {
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return End::Closed,
            },
            read = from.read(&mut buffer) => read,
        };
        let Ok(read @ 1..) = read else { return End::Closed };
        let bytes = &buffer[..read];
        match (now, way) {
            (Weather::Rough(Rough::Slow(late)), _) => tokio::time::sleep(late).await,
            (Weather::Rough(Rough::CutCommits { after }), Way::Requests) if commits(bytes) => {
                if !after {
                    return End::Reset;
                }
                doomed.store(true, Ordering::Relaxed);
            }
            (Weather::CutAnswers, Way::Answers) => return End::Reset,
            (_, Way::Answers) if doomed.load(Ordering::Relaxed) => return End::Reset,
            _ => {}
        }
        if to.write_all(bytes).await.is_err() {
            return End::Closed;
        }
    }
}

/// Whether these bytes of the Postgres protocol hold a COMMIT.
fn commits(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|part| part == b"COMMIT\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that counts what it gets and answers each read with `ok`.
    async fn server() -> (String, watch::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (got, seen) = watch::channel(0);
        tokio::spawn(async move {
            let got = std::sync::Arc::new(got);
            while let Ok((mut stream, _)) = listener.accept().await {
                let got = got.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        got.send_modify(|sum| *sum += read);
                        if stream.write_all(b"ok").await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, seen)
    }

    async fn ask(proxy: &Proxy, text: &[u8]) -> io::Result<usize> {
        let mut stream = TcpStream::connect(proxy.address).await?;
        stream.write_all(text).await?;
        let mut answer = [0; 16];
        stream.read(&mut answer).await
    }

    #[tokio::test]
    async fn an_edge_is_cut_and_heals() {
        let (address, _) = server().await;
        let proxy = Proxy::before(address).await.unwrap();
        assert_eq!(ask(&proxy, b"hello").await.unwrap(), 2);
        proxy.set(Weather::Rough(Rough::Cut));
        assert!(!matches!(ask(&proxy, b"hello").await, Ok(1..)));
        proxy.set(Weather::Fair);
        assert_eq!(ask(&proxy, b"hello").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn answers_are_cut_after_the_request_went_through() {
        let (address, mut seen) = server().await;
        let proxy = Proxy::before(address).await.unwrap();
        proxy.set(Weather::CutAnswers);
        assert!(!matches!(ask(&proxy, b"hello").await, Ok(1..)));
        seen.wait_for(|sum| *sum == 5).await.unwrap();
    }

    #[tokio::test]
    async fn only_commits_are_cut_and_only_the_later_kind_reaches_the_server() {
        let (address, mut seen) = server().await;
        let proxy = Proxy::before(address).await.unwrap();
        proxy.set(Weather::Rough(Rough::CutCommits { after: false }));
        assert_eq!(ask(&proxy, b"BEGIN\0").await.unwrap(), 2);
        assert!(!matches!(ask(&proxy, b"Q\0COMMIT\0").await, Ok(1..)));
        assert_eq!(*seen.borrow_and_update(), 6);
        proxy.set(Weather::Rough(Rough::CutCommits { after: true }));
        assert!(!matches!(ask(&proxy, b"Q\0COMMIT\0").await, Ok(1..)));
        seen.wait_for(|sum| *sum == 15).await.unwrap();
    }

    #[tokio::test]
    async fn a_half_open_edge_carries_on_when_it_heals() {
        let (address, seen) = server().await;
        let proxy = Proxy::before(address).await.unwrap();
        proxy.set(Weather::Rough(Rough::HalfOpen));
        let mut asked = std::pin::pin!(ask(&proxy, b"hello"));
        assert!(futures::poll!(&mut asked).is_pending());
        assert_eq!(*seen.borrow(), 0);
        proxy.set(Weather::Fair);
        assert_eq!(asked.await.unwrap(), 2);
    }
}
