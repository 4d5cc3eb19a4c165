//! Addresses of peers: the next hop of forwarding, and the local address of outgoing connections.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::number;

/// A transport address to connect to.
///
/// `Display` gives the form of log lines: `host:25`, `192.0.2.1:25`, `::1.25` (dot before an IPv6 port), `/run/x.s`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Remote {
    /// A name to look up. Names with other than ASCII letters are held as A-labels (RFC 5890).
    Host {
        /// The name, or an IPv6 address with the name of a zone (`fe80::1%eth0`), which the resolver understands too.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// An address; nothing to look up.
    Ip(SocketAddr),
    /// A unix stream socket, absolute path.
    Unix(PathBuf),
    /// A far host reached through a SOCKS proxy; the proxy looks the name up.
    Socks {
        /// What the proxy speaks.
        version: SocksVersion,
        /// Name or address, sent as text.
        far_host: String,
        /// 1 to 65535.
        far_port: u16,
        /// Where the proxy is: `Host` or `Ip`.
        proxy: Box<Remote>,
    },
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocksVersion {
    /// `far:port@proxy:port`: 4a.
    V4a,
    /// `far:port@socks5:proxy:port`: 5 (RFC 1928).
    V5,
}

/// Between the `@` and a proxy that speaks version 5.
const SOCKS5: &str = "socks5:";

/// Why a text is no address. Completes `invalid --forward-to address: "TEXT": ...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No colon, nothing in front of it, or an unusable host name.
    #[error("expected host:port")]
    Form,
    /// Neither a number from 1 to 65535 nor a known service.
    #[error("invalid port")]
    Port,
    /// A unix socket path longer than the kernel takes.
    #[error("path too long")]
    Path,
}

/// The services a port may be named by (IANA service names).
const SERVICES: [(&str, u16); 9] = [
    ("smtp", 25),
    ("mail", 25),
    ("submission", 587),
    ("smtps", 465),
    ("submissions", 465),
    ("ssmtp", 465),
    ("lmtp", 24),
    ("pop3", 110),
    ("pop3s", 995),
];

impl Remote {
    /// Reads `host:port`, `ip:port`, `[ipv6]:port`, `ipv6.port`, `/path`, `far:port@proxy:port` or
    /// `far:port@socks5:proxy:port`.
    ///
    /// The port may be a service name. With a `default_port` it may be missing behind a host name or IPv4 address.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            let fits = text.len() <= super::UNIX_PATH_MAX;
            return if fits { Ok(Self::Unix(PathBuf::from(text))) } else { Err(AddressError::Path) };
        }
        if let Some((far, proxy)) = text.split_once('@') {
            return Self::parse_socks(far, proxy);
        }
        if let Some(address) = dotted_ipv6(text) {
            return Ok(Self::Ip(address?));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let port = default_port.ok_or(AddressError::Form)?;
            return Self::from_parts(text, port);
        };
        let port = if port.is_empty() { Err(AddressError::Port) } else { parse_port(port) };
        // Reports the host first: `2001:db8::1` without port is not a matter of its port.
        Self::from_parts(host, 0)?;
        Self::from_parts(host, port?)
    }

    fn parse_socks(far: &str, proxy: &str) -> Result<Self, AddressError> {
        let (far_host, far_port) = match Self::parse(far, None)? {
            Self::Host { host, port } => (host, port),
            Self::Ip(address) => (address.ip().to_string(), address.port()),
            Self::Unix(_) | Self::Socks { .. } => return Err(AddressError::Form),
        };
        // A proxy on a host of this name has its port behind it, and nothing more.
        let (version, proxy) = match proxy.strip_prefix(SOCKS5).filter(|rest| rest.contains([':', '.'])) {
            Some(rest) => (SocksVersion::V5, rest),
            None => (SocksVersion::V4a, proxy),
        };
        let proxy = match Self::parse(proxy, None)? {
            Self::Unix(_) | Self::Socks { .. } => return Err(AddressError::Form),
            proxy => Box::new(proxy),
        };
        Ok(Self::Socks { version, far_host, far_port, proxy })
    }

    fn from_parts(host: &str, port: u16) -> Result<Self, AddressError> {
        let bare = match host.strip_prefix('[') {
            Some(rest) => {
                rest.strip_suffix(']').filter(|inner| inner.contains(':')).ok_or(AddressError::Form)?
            }
            None => host,
        };
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(SocketAddr::new(address, port)));
        }
        if let Some((address, zone)) = bare.split_once('%') {
            address.parse::<Ipv6Addr>().map_err(|_| AddressError::Form)?;
            let good = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic());
            return if good {
                Ok(Self::Host { host: bare.to_owned(), port })
            } else {
                Err(AddressError::Form)
            };
        }
        Ok(Self::Host { host: host_name(host).ok_or(AddressError::Form)?, port })
    }

    /// Whether this is a unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "{host}.{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Ip(SocketAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(SocketAddr::V6(address)) => write!(f, "{}.{}", address.ip(), address.port()),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Socks { version, far_host, far_port, proxy } => {
                let version = if *version == SocksVersion::V5 { SOCKS5 } else { "" };
                write!(f, "{far_host}:{far_port}@{version}{proxy}")
            }
        }
    }
}

/// The local end of outgoing connections (`--client-interface`). Its family also restricts name lookups;
/// an unspecified address does only that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Local(pub SocketAddr);

impl Local {
    /// Reads `ip` or `ip:port`; port 0 means any.
    ///
    /// # Errors
    /// The text is not an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = unbracketed.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self(SocketAddr::new(ip, 0)));
        }
        match Remote::parse(text, None)? {
            Remote::Ip(address) => Ok(Self(address)),
            _ => Err(AddressError::Form),
        }
    }
}

/// `::1.25`: an IPv6 address, the last dot, and digits. `None`: not this form.
fn dotted_ipv6(text: &str) -> Option<Result<SocketAddr, AddressError>> {
    let (host, port) = text.rsplit_once('.')?;
    let address: Ipv6Addr = host.parse().ok()?;
    Some(parse_port(port).map(|port| SocketAddr::new(address.into(), port)))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    if let Some(number) = number::digits(text) {
        return u16::try_from(number).ok().filter(|port| *port > 0).ok_or(AddressError::Port);
    }
    let named = SERVICES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    named.map(|(_, port)| *port).ok_or(AddressError::Port)
}

/// A host name as the resolver takes it: A-labels, at most 253 bytes. Nothing stricter than "no character
/// that has a meaning in
/// addresses", because names with underscores and the like exist.
fn host_name(text: &str) -> Option<String> {
    let ascii = if text.is_ascii() { text.to_owned() } else { idna::domain_to_ascii(text).ok()? };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let length = (1..=253).contains(&ascii.len());
    (length && ascii.bytes().all(good) && !ascii.starts_with(['.', '-'])).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_as_in_logs() {
        for (text, expected) in [
            ("host:25", "host:25"),
            ("host:smtp", "host:25"),
            ("host:SUBMISSION", "host:587"),
            ("10.0.0.1:25", "10.0.0.1:25"),
            ("::1:25", "::1.25"),
            ("[::1]:25", "::1.25"),
            ("::1.25", "::1.25"),
            ("2001:db8::1.587", "2001:db8::1.587"),
            ("::ffff:1.2.3.4:25", "::ffff:1.2.3.4.25"),
            ("fe80::1%eth0:25", "fe80::1%eth0.25"),
            ("/run/relay.s", "/run/relay.s"),
            ("far.example.com:25@proxy:9050", "far.example.com:25@proxy:9050"),
            ("far.example.com:smtp@127.0.0.1:9050", "far.example.com:25@127.0.0.1:9050"),
            ("far.example.com:25@socks5:proxy:9050", "far.example.com:25@socks5:proxy:9050"),
            ("far.example.com:25@socks5:::1.9050", "far.example.com:25@socks5:::1.9050"),
            ("far.example.com:25@socks5:9050", "far.example.com:25@socks5:9050"),
            ("bücher.example:25", "xn--bcher-kva.example:25"),
            ("my_host:25", "my_host:25"),
        ] {
            assert_eq!(Remote::parse(text, None).unwrap().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn bad_addresses_say_why() {
        for bad in [
            "",
            "host",
            ":25",
            "2001:db8::1",
            "a b:25",
            "a,b:25",
            "[host]:25",
            "[::1:25",
            "host:25@",
            "@proxy:1",
            "x@y@z:1",
            "h:25@/run/x",
            "..:25",
            "-h:25",
            "fe80::1%:25",
            "a:25,b:25",
        ] {
            assert_eq!(Remote::parse(bad, None), Err(AddressError::Form), "{bad:?}");
        }
        for bad in
            ["host:", "host:0", "host:65536", "host:25x", "host:nosuch", "::1.0", "host:-1", "h:x@proxy:1"]
        {
            assert_eq!(Remote::parse(bad, None), Err(AddressError::Port), "{bad:?}");
        }
    }

    #[test]
    fn a_default_port_completes_a_host() {
        let parsed = Remote::parse("smtp.example.com", Some(25)).unwrap();
        assert_eq!(parsed, Remote::Host { host: "smtp.example.com".into(), port: 25 });
        assert_eq!(Remote::parse("10.0.0.1", Some(25)).unwrap().to_string(), "10.0.0.1:25");
        assert_eq!(Remote::parse("", Some(25)), Err(AddressError::Form));
    }

    #[test]
    fn local_addresses_are_literals() {
        for (text, expected) in [
            ("10.0.0.2", "10.0.0.2:0"),
            ("10.0.0.2:99", "10.0.0.2:99"),
            ("::", "[::]:0"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[::1]:99", "[::1]:99"),
            ("0.0.0.0", "0.0.0.0:0"),
        ] {
            assert_eq!(Local::parse(text).unwrap().0.to_string(), expected, "{text:?}");
        }
        for bad in ["", "foo", "foo:25", "/run/x", "10.0.0.2:x", "10.0.0"] {
            assert!(Local::parse(bad).is_err(), "{bad:?}");
        }
    }
}
