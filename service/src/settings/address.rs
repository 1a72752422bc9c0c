//! Addresses as settings write them.

use std::fmt;
use std::str::FromStr;

/// Where to listen: `host:port`. Port 0 lets the system choose one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenAddr(String);

/// The text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write host:port, such as 127.0.0.1:8081 (port 0 takes a free one)")]
pub struct InvalidAddr;

impl ListenAddr {
    /// The text, as `bind` takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListenAddr {
    type Err = InvalidAddr;
    fn from_str(text: &str) -> Result<Self, InvalidAddr> {
        // A port alone listens everywhere, as many programs have it.
        let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        if is_host_and_port(&text) { Ok(Self(text)) } else { Err(InvalidAddr) }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is a name or address, a colon and a port (an IPv6 address in brackets).
pub(super) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    host && port
}
