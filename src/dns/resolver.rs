//! A stub resolver: random ids and source ports, questions compared with answers, TCP when an answer is truncated,
//! answers cached for their lifetime (RFC 1035, RFC 5452, RFC 6891). All of that is Hickory's; here is what we ask of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

/// Where questions go without any configuration.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Longest time that an answer is kept, whatever its own says.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// Longest time that the absence of something is kept (RFC 2308 section 5 asks for a limit).
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(300);

/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 64;

/// How long is waited, and how much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For one question, with all repetitions. After half of it another attempt is made.
    pub timeout: Duration,
    /// Answers in the cache; 0 for none.
    pub cache: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), cache: 1024 }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name does not exist (NXDOMAIN).
    #[error("rcode nxdomain")]
    NoSuchName,
    /// The name exists, and has no such record.
    #[error("no answer section")]
    NoRecord,
    /// The text is no name that can be asked for.
    #[error("invalid name")]
    BadName,
    /// No answer, or one that says nothing about the name (SERVFAIL, REFUSED, nonsense): another time may be better.
    #[error("{0}")]
    Temporary(String),
}

/// One MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailExchanger {
    /// Less is better.
    pub preference: u16,
    /// The host, without the final dot; empty for the root, which is that of a null MX (RFC 7505).
    pub host: String,
}

/// Asks name servers.
pub struct Resolver {
    /// What Hickory does not accept shows at each question.
    inner: Result<TokioResolver, Error>,
    timeout: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The name servers of `/etc/resolv.conf`; the local one if it names none.
#[must_use]
pub fn system_servers() -> Vec<SocketAddr> {
    let config = read_system_conf().map(|(config, _)| config.name_servers().to_vec()).unwrap_or_default();
    let servers: Vec<SocketAddr> = config.iter().map(|server| SocketAddr::new(server.ip, 53)).collect();
    if servers.is_empty() { vec![LOOPBACK] } else { servers }
}

impl Resolver {
    /// A resolver that asks these servers, the first one first. Nothing is sent or opened yet.
    #[must_use]
    pub fn new(servers: &[SocketAddr], limits: Limits) -> Self {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            // A name server that knows nothing of a name is believed; asking the others would only take longer.
            NameServerConfig::new(server.ip(), true, connections.to_vec())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options(limits);
        Self { inner: builder.build().map_err(|error| temporary(&error)), timeout: limits.timeout }
    }

    /// The IPv4 addresses of a name.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>, Error> {
        let found = self.lookup(name, RecordType::A).await?;
        nonempty(found.iter().filter_map(|data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        }))
    }

    /// The addresses of a name, IPv6 and IPv4 taking turns.
    ///
    /// # Errors
    /// See [`Error`]. Half an answer is one: with an address of either family, trouble with the other does not matter.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let (v6, v4) = tokio::join!(self.lookup(name, RecordType::AAAA), self.ipv4(name));
        let v6 = v6.and_then(|found| {
            nonempty(found.iter().filter_map(|data| match data {
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            }))
        });
        match (v6, v4) {
            (Ok(v6), Ok(v4)) => Ok(by_turns(v6, v4.into_iter().map(IpAddr::V4).collect())),
            (Ok(v6), Err(_)) => Ok(v6),
            (Err(_), Ok(v4)) => Ok(v4.into_iter().map(IpAddr::V4).collect()),
            // A temporary fault of either leaves the question open.
            (Err(temporary @ Error::Temporary(_)), Err(_)) => Err(temporary),
            (Err(_), Err(error)) => Err(error),
        }
    }

    /// The MX records of a name, in the order of the answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn mail_exchangers(&self, name: &str) -> Result<Vec<MailExchanger>, Error> {
        let found = self.lookup(name, RecordType::MX).await?;
        nonempty(found.into_iter().filter_map(|data| match data {
            RData::MX(mx) => {
                let host = mx.exchange.to_ascii();
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                Some(MailExchanger { preference: mx.preference, host })
            }
            _ => None,
        }))
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Error> {
        let mut name = Name::from_ascii(name).map_err(|_| Error::BadName)?;
        // Complete as it stands: no search list.
        name.set_fqdn(true);
        let resolver = self.inner.as_ref().map_err(Clone::clone)?;
        let asked = tokio::time::timeout(self.timeout, resolver.lookup(name, kind)).await;
        let lookup = match asked {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => return Err(judged(&error)),
            Err(_) => return Err(Error::Temporary("no answer".to_owned())),
        };
        Ok(lookup.answers().iter().take(MAX_RECORDS).map(|record| record.data.clone()).collect())
    }
}

fn options(limits: Limits) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = limits.timeout / 2;
    options.attempts = 1;
    options.cache_size = limits.cache;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.num_concurrent_reqs = 1;
    options
}

fn judged(error: &NetError) -> Error {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Error::NoSuchName,
            ResponseCode::NoError => Error::NoRecord,
            code => Error::Temporary(format!("rcode {}", u16::from(code))),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Error::Temporary(format!("rcode {}", u16::from(*code)))
        }
        error => temporary(error),
    }
}

fn temporary(error: &NetError) -> Error {
    Error::Temporary(match error {
        NetError::Timeout => "no answer".to_owned(),
        error => error.to_string(),
    })
}

fn nonempty<T>(found: impl Iterator<Item = T>) -> Result<Vec<T>, Error> {
    let found: Vec<T> = found.collect();
    if found.is_empty() { Err(Error::NoRecord) } else { Ok(found) }
}

fn by_turns(first: Vec<IpAddr>, second: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut order = Vec::with_capacity(first.len() + second.len());
    let mut rest = second.into_iter();
    for address in first {
        order.push(address);
        order.extend(rest.next());
    }
    order.extend(rest);
    order
}

#[cfg(test)]
mod tests;
