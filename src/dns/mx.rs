//! Where the mail of a domain goes: its mail exchangers by preference, else the domain's own addresses
//! (RFC 5321 section 5.1), unless it says that it takes none (RFC 7505).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::resolver::{Error, MailExchanger, Resolver};
use crate::config::number;

/// Mail exchangers of one domain whose addresses are looked up. With two questions for each and those for the domain
/// itself that is less than 50 in all.
pub const MAX_HOSTS: usize = 16;

/// Addresses of one domain that are kept.
pub const MAX_ADDRESSES: usize = 16;

/// The port of mail exchangers.
const SMTP_PORT: u16 = 25;

/// What an envelope's `ForwardTo` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing: the message goes where all go.
    None,
    /// An address literal (RFC 5321 section 4.1.3); there is nothing to look up.
    Literal(SocketAddr),
    /// A domain.
    Domain {
        /// Its name as it stands, or as A-labels.
        name: String,
        /// To connect to.
        port: u16,
    },
}

/// Where the mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the first of these that can be connected to; there is at least one.
    Addresses(Vec<SocketAddr>),
    /// Where all mail goes: the domain's address is `0.0.0.0`.
    Default,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MxError {
    /// The domain does not exist.
    #[error("mx: nxdomain")]
    NoSuchDomain,
    /// The text is no domain name, so that no question can be asked.
    #[error("mx: invalid name")]
    BadName,
    /// It has a null MX.
    #[error("mx: domain does not accept mail")]
    NullMx,
    /// The name servers do not answer, or what they say leads nowhere at this time.
    #[error("mx: {0}")]
    Temporary(String),
}

impl MxError {
    /// The code for the envelope of a message that fails for this, or `None`: the message waits.
    #[must_use]
    pub fn permanent_code(&self) -> Option<u16> {
        match self {
            Self::NoSuchDomain | Self::BadName => Some(550),
            // RFC 7505 section 4.
            Self::NullMx => Some(556),
            Self::Temporary(_) => None,
        }
    }
}

impl Target {
    /// Reads `[user@]domain[:port]`, `[1.2.3.4][:port]` or `[IPv6:::1][:port]`.
    #[must_use]
    pub fn parse(forward_to: &str) -> Self {
        let text = forward_to.split_once('@').map_or(forward_to, |(_, domain)| domain);
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && !port.contains(']') => match port_of(port) {
                Some(port) => (host, port),
                None => (text, SMTP_PORT),
            },
            _ => (text, SMTP_PORT),
        };
        if host.is_empty() {
            return Self::None;
        }
        if let Some(ip) = literal(host) {
            return Self::Literal(SocketAddr::new(ip, port));
        }
        let name = if host.is_ascii() { host.to_owned() } else { a_labels(host) };
        Self::Domain { name, port }
    }
}

fn port_of(text: &str) -> Option<u16> {
    number::digits(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[')?.strip_suffix(']')?;
    let tagged = inner.split_at_checked(5).filter(|(tag, _)| tag.eq_ignore_ascii_case("ipv6:"));
    match tagged {
        Some((_, address)) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn a_labels(host: &str) -> String {
    idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned())
}

/// Looks up where the mail of `domain` goes.
///
/// # Errors
/// See [`MxError`].
pub async fn route(resolver: &Arc<Resolver>, domain: &str, port: u16) -> Result<Route, MxError> {
    let hosts = match resolver.mail_exchangers(domain).await {
        Ok(exchangers) => in_order(exchangers)?,
        // No MX record: the domain is its own mail exchanger.
        Err(Error::NoRecord) => vec![domain.to_owned()],
        Err(Error::NoSuchName) => return Err(MxError::NoSuchDomain),
        Err(Error::BadName) => return Err(MxError::BadName),
        Err(Error::Temporary(reason)) => return Err(MxError::Temporary(reason)),
    };
    let found = addresses(resolver, hosts).await?;
    if found.first() == Some(&IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
        return Ok(Route::Default);
    }
    let usable = found.into_iter().filter(|ip| !ip.is_unspecified() && !ip.is_multicast());
    let usable: Vec<_> = usable.take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, port)).collect();
    if usable.is_empty() { Err(nowhere()) } else { Ok(Route::Addresses(usable)) }
}

/// The hosts by preference. The order of equals is random, which spreads the load as RFC 5321 section 5.1 wants it.
fn in_order(mut exchangers: Vec<MailExchanger>) -> Result<Vec<String>, MxError> {
    let seed = RandomState::new();
    exchangers.sort_by_cached_key(|exchanger| (exchanger.preference, seed.hash_one(&exchanger.host)));
    let all_null = exchangers.iter().all(|exchanger| exchanger.host.is_empty());
    if all_null {
        return Err(MxError::NullMx);
    }
    let mut hosts: Vec<String> =
        exchangers.into_iter().map(|exchanger| exchanger.host).filter(|host| !host.is_empty()).collect();
    hosts.dedup();
    hosts.truncate(MAX_HOSTS);
    Ok(hosts)
}

/// The addresses of all hosts, in the order of the hosts. One that cannot be looked up is left out as long as there is
/// another one.
async fn addresses(resolver: &Arc<Resolver>, hosts: Vec<String>) -> Result<Vec<IpAddr>, MxError> {
    let mut questions = JoinSet::new();
    for (place, host) in hosts.into_iter().enumerate() {
        let resolver = Arc::clone(resolver);
        questions.spawn(async move { (place, resolver.addresses(&host).await) });
    }
    let mut answers = questions.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    let (mut found, mut trouble) = (Vec::new(), None);
    for (_, answer) in answers {
        match answer {
            Ok(addresses) => found.extend(addresses),
            Err(Error::Temporary(reason)) => trouble = Some(reason),
            Err(_) => {}
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(trouble.map_or_else(nowhere, MxError::Temporary))
}

/// The domain exists, and nothing that it names has an address. Somebody may be about to mend that.
fn nowhere() -> MxError {
    MxError::Temporary("no usable address".to_owned())
}

#[cfg(test)]
mod tests;
