//! The address of a peer, in the form that logs, envelopes and `Received:` lines show.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The other end of a connection, or our own end of a listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An internet address. IPv4-mapped IPv6 addresses are unmapped on the way in, see [`Endpoint::from`].
    Ip(SocketAddr),
    /// A unix-domain socket; peers are usually unnamed.
    Unix(Option<PathBuf>),
    /// An abstract unix-domain socket.
    Abstract(String),
    /// A process of this machine on a unix-domain socket that asks who its peers are.
    Process(Credentials),
}

/// Whose process a peer is, as the kernel says (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id, if the process is in our pid namespace.
    pub pid: Option<i32>,
}

impl Endpoint {
    /// The address without its port: `192.0.2.7`, `2001:db8::5`, or `/` for a unix-domain peer; `/uid=1000` for one that
    /// was asked who it is.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_string(),
            Self::Unix(_) | Self::Abstract(_) => "/".to_owned(),
            Self::Process(Credentials { uid, .. }) => format!("/uid={uid}"),
        }
    }

    /// The user whose process the peer is, if it was asked.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        match self {
            Self::Process(credentials) => Some(credentials.uid),
            _ => None,
        }
    }

    /// The internet address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix(_) | Self::Abstract(_) | Self::Process(_) => None,
        }
    }

    /// The port, if there is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix(_) | Self::Abstract(_) | Self::Process(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// Unmaps `::ffff:a.b.c.d`, which peers on dual-stack sockets have, so that it is judged and shown as IPv4.
    fn from(address: SocketAddr) -> Self {
        Self::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Endpoint {
    /// `192.0.2.7:25`, `2001:db8::5.25` (a dot before the port, as E-MailRelay has always shown IPv6), `/run/smtp.s`,
    /// `@name`, `/uid=1000,gid=1000,pid=4711`, and `/` for an unnamed unix-domain peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(SocketAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(SocketAddr::V6(address)) if address.scope_id() != 0 => {
                write!(f, "{}%{}.{}", address.ip(), address.scope_id(), address.port())
            }
            Self::Ip(SocketAddr::V6(address)) => write!(f, "{}.{}", address.ip(), address.port()),
            Self::Unix(Some(path)) => write!(f, "{}", path.display()),
            Self::Unix(None) => f.write_str("/"),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Process(Credentials { uid, gid, pid }) => {
                write!(f, "/uid={uid},gid={gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, ",pid={pid}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::from(text.parse::<SocketAddr>().unwrap())
    }

    #[test]
    fn addresses_are_shown_as_emailrelay_shows_them() {
        assert_eq!(endpoint("192.0.2.7:25").to_string(), "192.0.2.7:25");
        assert_eq!(endpoint("[2001:db8::5]:25").to_string(), "2001:db8::5.25");
        assert_eq!(endpoint("[2001:db8::5]:25").host(), "2001:db8::5");
        assert_eq!(Endpoint::Unix(None).to_string(), "/");
        assert_eq!(Endpoint::Unix(Some("/run/s".into())).host(), "/");
        let process = Endpoint::Process(Credentials { uid: 1000, gid: 100, pid: Some(7) });
        assert_eq!(
            (process.to_string(), process.host()),
            ("/uid=1000,gid=100,pid=7".into(), "/uid=1000".into())
        );
    }

    #[test]
    fn mapped_peers_are_unmapped() {
        let peer = endpoint("[::ffff:192.0.2.1]:1025");
        assert_eq!(peer.to_string(), "192.0.2.1:1025");
        assert_eq!(peer.host(), "192.0.2.1");
    }
}
