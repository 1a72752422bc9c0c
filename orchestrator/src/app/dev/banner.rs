//! What `saga dev` says when it is ready.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;

use super::home::Home;

pub struct Banner<'a> {
    pub address: SocketAddr,
    pub home: &'a Home,
    pub admin_key: &'a str,
}

impl Banner<'_> {
    /// Prints it on standard output, where whoever started it may have stopped to listen.
    pub fn print(&self) {
        let mut out = std::io::stdout();
        let _closed = write!(out, "{self}").and_then(|()| out.flush());
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, home, admin_key } = self;
        let data = home.path().canonicalize().unwrap_or_else(|_| home.path().to_owned());
        // As it was called: it need not be on the path.
        let program = std::env::args().next().unwrap_or_else(|| "saga".to_owned());
        let kept = if home.is_temporary() { " (gone when it ends)" } else { "" };
        write!(
            f,
            "
saga dev is ready

api       http://{address}
data      {}{kept}
admin key {admin_key}

Place an order:

  curl -i http://{address}/orders -H 'content-type: application/json' -d '{{\"userId\": \"11111111-1111-1111-1111-111111111111\", \"amount\": 500, \"items\": {{\"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa\": 2, \"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb\": 1}}}}'

and look at its saga (the id is the order's):

  curl 'http://{address}/sagas/ID?wait=10s'
  SAGA_URL=http://{address} {program} show ID

",
            data.display()
        )
    }
}
