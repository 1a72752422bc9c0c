//! A test between a client and its Redis: it does something at one moment, after a request was carried out and before
//! the client hears of it.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens then.
pub enum Then {
    Run(Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>),
    /// The connection breaks.
    Cut,
}

type Moment = Arc<Mutex<Option<Then>>>;

/// The URL of a Redis that is the one at `url`, but that `then` happens once, at the first request that `at` picks.
pub async fn between(url: &str, at: impl Fn(&str) -> bool + Clone + Send + 'static, then: Then) -> String {
    let upstream = url.strip_prefix("redis://").expect("a plain URL").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("redis://{}", listener.local_addr().unwrap());
    let moment: Moment = Arc::new(Mutex::new(Some(then)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(carry(client, server, at.clone(), Arc::clone(&moment)));
        }
    });
    here
}

async fn carry(mut client: TcpStream, mut server: TcpStream, at: impl Fn(&str) -> bool, moment: Moment) {
    let (mut asked, mut answered, mut picked) = (vec![0; 1 << 16], vec![0; 1 << 16], false);
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                if count == 0 || server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
                picked |= at(&String::from_utf8_lossy(&asked[..count]));
            }
            Ok(count) = server.read(&mut answered) => {
                let then = if picked { moment.lock().unwrap().take() } else { None };
                match then {
                    Some(Then::Run(run)) => run().await,
                    Some(Then::Cut) => return,
                    None => {}
                }
                if count == 0 || client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}
