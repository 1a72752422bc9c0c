//! A connection to Redis, and which Redis it leads to.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, Script};
use tokio::sync::Mutex;

use crate::trouble::{Part, Trouble};

/// One connection, made anew after any error: whoever answers then may be another Redis, or the same one with another
/// memory. Each start of a Redis has a `run_id` of its own, which the marker of the generation carries: so a Redis that
/// was restarted, even from a file that is a second old, is never taken for the one it was.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    live: Mutex<Option<Live>>,
}

/// A connection and the `run_id` of the Redis at its other end.
#[derive(Debug, Clone)]
pub(super) struct Live {
    connection: MultiplexedConnection,
    pub(super) run_id: Arc<str>,
}

impl Link {
    /// A link to the Redis at `url` that is patient for so long with each answer; it does not connect yet.
    ///
    /// # Errors
    /// If the URL makes no sense.
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        Ok(Self { client: Client::open(url)?, config, live: Mutex::new(None) })
    }

    /// The connection that there is, or a new one.
    pub(super) async fn live(&self) -> Result<Live, Trouble> {
        let mut slot = self.live.lock().await;
        if let Some(live) = &*slot {
            return Ok(live.clone());
        }
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&self.config).await.map_err(away)?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.map_err(away)?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let nameless = || Trouble::Away { part: Part::Redis, detail: "INFO names no run_id".to_owned() };
        let live = Live { connection, run_id: run_id.ok_or_else(nameless)?.trim().into() };
        *slot = Some(live.clone());
        Ok(live)
    }

    /// Runs a prepared script on `live`.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        live: &Live,
        script: &Script,
        keys: [&str; 2],
        arguments: &[String],
    ) -> Result<T, Trouble> {
        let mut connection = live.connection.clone();
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument.as_str());
        }
        self.checked(call.invoke_async(&mut connection).await).await
    }

    /// Runs a pipeline on `live`.
    pub(super) async fn pipe<T: FromRedisValue>(&self, live: &Live, pipe: &Pipeline) -> Result<T, Trouble> {
        let mut connection = live.connection.clone();
        self.checked(pipe.query_async(&mut connection).await).await
    }

    /// Whether Redis answers.
    pub(super) async fn ping(&self) -> Result<(), Trouble> {
        let live = self.live().await?;
        let mut connection = live.connection.clone();
        let pong: Result<String, RedisError> = redis::cmd("PING").query_async(&mut connection).await;
        self.checked(pong).await.map(drop)
    }

    async fn checked<T>(&self, answer: Result<T, RedisError>) -> Result<T, Trouble> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                *self.live.lock().await = None;
                Err(away(error))
            }
        }
    }
}

/// Redis refuses nothing for what it is: whatever goes wrong passes, or is mended by a person.
fn away(error: RedisError) -> Trouble {
    Trouble::Away { part: Part::Redis, detail: error.to_string() }
}
