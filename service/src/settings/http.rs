//! Where to listen, whom to let in, and how long to go on with it at the end.

use std::time::Duration;

use clap::Args;
use saga_model::micros::Millis;

use super::address::ListenAddr;
use super::quiet::Quiet;
use crate::duration;
use crate::keys::{ApiKeys, KeyList, OpenScopes};

/// The HTTP side of a process.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Where to listen, as host:port; port 0 takes a free one
    #[arg(long, env = "HTTP_ADDR", value_name = "ADDRESS")]
    http_addr: Option<ListenAddr>,

    /// Keys, as name:secret:scope+scope, several with commas; scopes are submit, read and admin
    #[arg(long, env = "SAGA_API_KEYS", hide_env_values = true, value_name = "KEYS",
          value_parser = Quiet(|text| text.parse::<KeyList>().map_err(|error| error.to_string())))]
    saga_api_keys: Option<KeyList>,

    /// Scopes that need no key; empty means none
    #[arg(long, env = "SAGA_OPEN_SCOPES", value_name = "SCOPES", default_value = "submit,read")]
    saga_open_scopes: OpenScopes,

    /// After SIGTERM, go on listening for so long, not ready, so that load balancers see it: 0s to 4s. Ctrl-C ends
    /// without it
    #[arg(long, env = "SHUTDOWN_GRACE", value_name = "DURATION", default_value = "1s", value_parser = grace)]
    shutdown_grace: Millis,
}

/// The longest grace: what follows it has to be done within ten seconds of the signal.
const LONGEST_GRACE: Millis = Millis(4_000);

fn grace(text: &str) -> Result<Millis, String> {
    let grace = duration::parse_from_zero(text).map_err(|error| error.to_string())?;
    if grace > LONGEST_GRACE {
        return Err(format!("write a duration of at most {}", duration::write(LONGEST_GRACE)));
    }
    Ok(grace)
}

impl HttpArgs {
    /// Where to listen; `default` if it was not said.
    pub fn listen_addr(&self, default: ListenAddr) -> ListenAddr {
        self.http_addr.clone().unwrap_or(default)
    }

    /// Where to listen, if it was said.
    pub fn given_addr(&self) -> Option<&ListenAddr> {
        self.http_addr.as_ref()
    }

    /// How long to go on listening after SIGTERM.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace.0)
    }

    /// The keys and the open scopes.
    pub fn api_keys(&self) -> ApiKeys {
        ApiKeys::new(self.saga_api_keys.clone().unwrap_or_default(), self.saga_open_scopes)
    }
}
