//! DNS block lists (`--dnsbl`): which lists are asked, by which name server, and how the answers are counted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::number;

/// Lists at most: each one is a question for every client.
pub const MAX_LISTS: usize = 64;

/// Longest name of a list: 64 characters of a reversed IPv6 address go before it, and a name has 253 at most
/// (RFC 1035 section 3.1).
const MAX_DOMAIN: usize = 253 - 64;

/// Limit on all answers together when none is given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest limit that is taken: a client gives up a greeting after five minutes (RFC 5321 section 4.5.3.2.1).
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Where block lists are asked for unless the value says otherwise.
const DNS_PORT: u16 = 53;

/// A parsed `--dnsbl` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnsbl {
    /// The domains of the lists.
    pub lists: Vec<String>,
    /// So many lists must have the client for it to be refused; 0: they are asked, and everybody is let in.
    pub threshold: usize,
    /// Limit on all answers together.
    pub timeout: Duration,
    /// A client about which too few lists have answered in time is refused: the timeout was given as a negative number.
    pub deny_undecided: bool,
    /// The name server; `None` is the system's.
    pub server: Option<SocketAddr>,
}

/// Why a value cannot be used. Completes `invalid dnsbl configuration: `, in the words of E-MailRelay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsblError {
    /// There is something behind the name server.
    #[error("invalid dnsbl configuration: unused fields")]
    Unused,
    /// The old order has four fields at least. The misspelling is the known text.
    #[error("not enough comma-sparated fields")]
    TooFew,
    /// Not a threshold.
    #[error("string conversion error: invalid format: expected unsigned integer: {0}")]
    Threshold(String),
    /// Not a time.
    #[error("string conversion error: invalid format: expected integer: {0}")]
    Timeout(String),
    /// A time that no client would wait.
    #[error("timeout is longer than 300s: {0}")]
    LongTimeout(String),
    /// A name server without a port, or no address at all.
    #[error("address error: no port separator: {0}")]
    NoPort(String),
    /// Not an address.
    #[error("address error: invalid network address: {0}")]
    Address(String),
    /// Not a domain name that could be asked for.
    #[error("invalid domain: {0}")]
    Domain(String),
    /// Too many of them.
    #[error("more than 64 lists")]
    TooMany,
}

impl Dnsbl {
    /// Reads `domain[,domain...][,threshold[,timeout[,dns-server]]]`, or the old order
    /// `dns-server,timeout,threshold,domain[,domain...]`, which is known by a first field that is empty or not a domain.
    ///
    /// # Errors
    /// See [`DnsblError`].
    pub fn parse(text: &str) -> Result<Self, DnsblError> {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        let domains = fields.iter().take_while(|field| is_domain(field)).count();
        let (server, timeout, threshold, lists) = if domains == 0 {
            let [server, timeout, threshold, lists @ ..] = fields.as_slice() else {
                return Err(DnsblError::TooFew);
            };
            if lists.is_empty() {
                return Err(DnsblError::TooFew);
            }
            (*server, *timeout, *threshold, lists)
        } else {
            let (lists, rest) = fields.split_at(domains);
            if rest.len() > 3 {
                return Err(DnsblError::Unused);
            }
            let field = |index: usize| rest.get(index).copied().unwrap_or_default();
            (field(2), field(1), field(0), lists)
        };
        let threshold = threshold_of(threshold)?;
        let (timeout, deny_undecided) = timeout_of(timeout)?;
        let server = server_of(server)?;
        if lists.len() > MAX_LISTS {
            return Err(DnsblError::TooMany);
        }
        let lists = lists.iter().copied().map(list_of).collect::<Result<_, _>>()?;
        Ok(Self { lists, threshold, timeout, deny_undecided: deny_undecided && threshold > 0, server })
    }
}

/// Not wholly a number, and what is behind the last dot could be a top-level domain: `127.0.0.com` is one, `1.1.1.1` and
/// `1.1.1.1:53` are not.
fn is_domain(field: &str) -> bool {
    let last = field.strip_suffix('.').unwrap_or(field).rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !field.is_empty() && !last.is_empty() && last.bytes().all(label) && !digits(last)
        // A time or a signed number is written with these characters too.
        && (field.contains('.') || !is_time(field))
}

fn is_time(field: &str) -> bool {
    let unsigned = field.strip_prefix('-').unwrap_or(field);
    number::digits(unsigned.strip_suffix('s').unwrap_or(unsigned)).is_some()
}

fn list_of(field: &str) -> Result<String, DnsblError> {
    let name = field.trim_end_matches('.');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let good = name.len() <= MAX_DOMAIN && name.split('.').all(label);
    if good { Ok(name.to_owned()) } else { Err(DnsblError::Domain(field.to_owned())) }
}

fn threshold_of(field: &str) -> Result<usize, DnsblError> {
    if field.is_empty() {
        return Ok(1);
    }
    number::digits(field)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| DnsblError::Threshold(field.to_owned()))
}

/// Milliseconds, or seconds with an `s`; and whether it was negative.
fn timeout_of(field: &str) -> Result<(Duration, bool), DnsblError> {
    if field.is_empty() {
        return Ok((DEFAULT_TIMEOUT, false));
    }
    let unsigned = field.strip_prefix('-').unwrap_or(field);
    let (digits, unit) = match unsigned.strip_suffix('s') {
        Some(digits) => (digits, 1000),
        None => (unsigned, 1),
    };
    let number = number::digits(digits).ok_or_else(|| DnsblError::Timeout(field.to_owned()))?;
    let timeout = Duration::from_millis(number.saturating_mul(unit));
    if timeout > MAX_TIMEOUT {
        return Err(DnsblError::LongTimeout(field.to_owned()));
    }
    Ok((timeout, unsigned.len() < field.len()))
}

fn server_of(field: &str) -> Result<Option<SocketAddr>, DnsblError> {
    if field.is_empty() {
        return Ok(None);
    }
    let bad = || match field.contains(':') {
        true => DnsblError::Address(field.to_owned()),
        false => DnsblError::NoPort(field.to_owned()),
    };
    name_server(field).map(Some).ok_or_else(bad)
}

/// `ip:port`, where an IPv6 address goes without brackets and may have a dot before the port; or just an address.
pub(super) fn name_server(text: &str) -> Option<SocketAddr> {
    let with_port = |separator: char| {
        let (ip, port) = text.rsplit_once(separator)?;
        let ip: IpAddr = ip.parse().ok()?;
        // What stands behind a dot belongs to an IPv4 address.
        (ip.is_ipv6() || separator == ':').then(|| port_of(port).map(|port| SocketAddr::new(ip, port)))?
    };
    let alone = || text.parse().ok().map(|ip| SocketAddr::new(ip, DNS_PORT));
    with_port('.').or_else(|| with_port(':')).or_else(alone)
}

fn port_of(text: &str) -> Option<u16> {
    number::digits(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Dnsbl {
        Dnsbl::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    fn simple(lists: &[&str]) -> Dnsbl {
        Dnsbl {
            lists: lists.iter().map(|list| (*list).to_owned()).collect(),
            threshold: 1,
            timeout: DEFAULT_TIMEOUT,
            deny_undecided: false,
            server: None,
        }
    }

    #[test]
    fn both_orders_are_read() {
        assert_eq!(parsed("a.example"), simple(&["a.example"]));
        assert_eq!(parsed(" a.example , b.example. "), simple(&["a.example", "b.example"]));
        let full = Dnsbl {
            threshold: 2,
            timeout: Duration::from_secs(1),
            server: Some("1.1.1.1:53".parse().unwrap()),
            ..simple(&["a.example", "127.0.0.com"])
        };
        assert_eq!(parsed("a.example,127.0.0.com,2,1000,1.1.1.1:53"), full);
        assert_eq!(parsed("1.1.1.1:53,1s,2,a.example,127.0.0.com"), full);
        assert_eq!(parsed("1.1.1.1,1s,2,a.example,127.0.0.com"), full);
        assert_eq!(parsed(",,,a.example"), simple(&["a.example"]));
        assert_eq!(parsed("localhost"), simple(&["localhost"]));
    }

    #[test]
    fn a_negative_timeout_denies_unless_nobody_is_denied() {
        let denying = parsed("a.example,1,-2s");
        assert_eq!((denying.timeout, denying.deny_undecided), (Duration::from_secs(2), true));
        assert!(!parsed("a.example,0,-2s").deny_undecided);
        assert_eq!(parsed("a.example,0,-2s").threshold, 0);
        assert_eq!(parsed("a.example,1,250").timeout, Duration::from_millis(250));
    }

    #[test]
    fn name_servers_have_these_forms() {
        for (text, expected) in [
            ("9.9.9.9:5353", "9.9.9.9:5353"),
            ("::1.53", "[::1]:53"),
            ("::1:53", "[::1]:53"),
            ("2001:db8::1.5353", "[2001:db8::1]:5353"),
        ] {
            let server = parsed(&format!("a.example,1,1000,{text}")).server;
            assert_eq!(server, Some(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(parsed("a.example,1,1000,").server, None);
    }

    #[test]
    fn bad_values_say_why() {
        let cases = [
            ("a.example,1,1000,1.1.1.1:53,x", "invalid dnsbl configuration: unused fields"),
            ("a.example,1,abc", "string conversion error: invalid format: expected integer: abc"),
            ("a.example,-1", "string conversion error: invalid format: expected unsigned integer: -1"),
            ("a.example,1,1000,nosuch", "address error: no port separator: nosuch"),
            ("a.example,1,1000,[::1]:53", "address error: invalid network address: [::1]:53"),
            ("a.example,1,1000,1.1.1.1:0", "address error: invalid network address: 1.1.1.1:0"),
            ("1.1.1.1:53,1000,1", "not enough comma-sparated fields"),
            ("", "not enough comma-sparated fields"),
            ("a..example", "invalid domain: a..example"),
            ("a/b.example", "invalid domain: a/b.example"),
            ("a.example,1,301s", "timeout is longer than 300s: 301s"),
        ];
        for (text, expected) in cases {
            assert_eq!(Dnsbl::parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
        let long = format!("{}example", "a.".repeat(92));
        assert!(matches!(Dnsbl::parse(&long), Err(DnsblError::Domain(_))));
        let many = vec!["a.example"; MAX_LISTS + 1].join(",");
        assert_eq!(Dnsbl::parse(&many), Err(DnsblError::TooMany));
    }
}
