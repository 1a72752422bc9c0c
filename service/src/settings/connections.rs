//! Where the outside services are.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use clap::builder::TypedValueParser;

use super::address::is_host_and_port;
use super::quiet::Quiet;
use super::secret::Secret;
use crate::exit::Stop;

/// The services that `serve`, `migrate` and the workers stand on. `dev` has none of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Outside services")]
pub struct Connections {
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL", value_parser = Quiet(database_url))]
    pub database_url: Secret,

    /// Kafka, as host:port, several with commas
    #[arg(long, env = "KAFKA_BROKERS", value_name = "BROKERS")]
    pub kafka_brokers: KafkaBrokers,

    /// Put before the name of every topic and group, so that several systems can share a cluster
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", value_name = "TEXT", default_value = "", value_parser = topic_prefix)]
    pub kafka_topic_prefix: TopicPrefix,

    /// Redis, as redis://host:port; the inventory worker needs it
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL", value_parser = Quiet(redis_url))]
    pub redis_url: Option<Secret>,
}

impl Connections {
    /// Where Redis is, for a process that needs it.
    ///
    /// # Errors
    /// [`Stop::Usage`] if it was not said.
    pub fn require_redis(&self) -> Result<&Secret, Stop> {
        self.redis_url
            .as_ref()
            .ok_or_else(|| Stop::Usage("REDIS_URL is not set: write it as redis://host:port".to_owned()))
    }
}

/// Reads the URL of a Postgres; an error does not repeat what may be a password.
pub fn database_url_parser() -> impl TypedValueParser<Value = Secret> {
    Quiet(database_url)
}

fn database_url(text: &str) -> Result<Secret, String> {
    secret_url(text, &["postgres://", "postgresql://"], "write postgres://user:password@host:port/database")
}

fn redis_url(text: &str) -> Result<Secret, String> {
    secret_url(text, &["redis://", "unix://", "redis+unix://"], "write redis://host:port")
}

fn secret_url(text: &str, schemes: &[&str], write: &str) -> Result<Secret, String> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(Secret::new(text)),
        Some(_) | None => Err(write.to_owned()),
    }
}

/// What stands before the name of every topic and group of this system; empty unless several share a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicPrefix(String);

impl TopicPrefix {
    /// The name of a topic or group on the cluster.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// Whether names are the same with it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Kafka takes letters, digits, `.`, `_` and `-` in names, 249 of them at most.
fn topic_prefix(text: &str) -> Result<TopicPrefix, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let short = text.len() <= 200;
    if plain && short {
        Ok(TopicPrefix(text.to_owned()))
    } else {
        Err("write at most 200 letters, digits, dots, underscores and hyphens, such as staging.".to_owned())
    }
}

/// The brokers to ask first, as librdkafka's `bootstrap.servers` takes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaBrokers(String);

/// The text is no list of brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write host:port, several with commas, such as 127.0.0.1:9092")]
pub struct InvalidBrokers;

impl KafkaBrokers {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KafkaBrokers {
    type Err = InvalidBrokers;
    fn from_str(text: &str) -> Result<Self, InvalidBrokers> {
        let brokers: Vec<_> = text.split(',').map(str::trim).collect();
        if brokers.iter().all(|broker| is_host_and_port(broker)) {
            Ok(Self(brokers.join(",")))
        } else {
            Err(InvalidBrokers)
        }
    }
}

impl fmt::Display for KafkaBrokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
