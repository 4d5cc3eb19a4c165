//! Outgoing connections: name lookup, all addresses tried (RFC 8305), one deadline over everything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, UnixStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::address::Remote;
use crate::net::address::Endpoint;
use crate::net::alternatives::Alternatives;
use crate::net::socks::{self, Far, SocksError};
use crate::net::stream::Stream;

/// How long one address is given before the next one is tried beside it (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The same where the next address may be that of another host, which is only to be used if the better one is out of
/// reach (RFC 5321 section 5.1).
pub const HOST_DELAY: Duration = Duration::from_secs(5);

/// Addresses of one lookup that are tried; a zone with more is misconfigured or hostile.
pub const MAX_ADDRESSES: usize = 16;

/// How to connect.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Limit on lookup and connect together; `None` waits for as long as the kernel does.
    pub timeout: Option<Duration>,
    /// Local address (and port, or 0) to connect from. Its family restricts what a lookup may return.
    pub bind: Option<SocketAddr>,
    /// Close with a reset (`nolinger`).
    pub reset_on_close: bool,
    /// Who we are at the proxy, if there is one that wants to know.
    pub proxy_login: Option<Arc<socks::Login>>,
    /// Further addresses of hosts that are named by one address.
    pub alternatives: Arc<Alternatives>,
}

/// Why there is no connection. The texts are those of E-MailRelay's log and exit messages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name does not exist or cannot be looked up now.
    #[error("dns error: no such {family}host: \"{host}\" ({reason})")]
    Lookup {
        /// The name.
        host: String,
        /// `ipv4 ` or `ipv6 ` when the local address restricts the family, else empty.
        family: &'static str,
        /// The resolver's words.
        reason: String,
    },
    /// The lookup gave nothing that may be used.
    #[error("dns error: no usable addresses returned for \"{0}\"")]
    NoAddress(String),
    /// The literal address is not of the local address's family.
    #[error("invalid address family")]
    Family,
    /// The local address cannot be used.
    #[error("socket bind error: {0}")]
    Bind(String),
    /// Refused or unreachable; the last address tried is named.
    #[error("connect failure: cannot connect to {address}{detail}")]
    Refused {
        /// The address.
        address: String,
        /// For unix-domain sockets `: ` and the reason.
        detail: String,
    },
    /// The proxy does not let us through.
    #[error(transparent)]
    Socks(#[from] SocksError),
    /// The time limit has passed. The doubled word is what log matchers know.
    #[error("connect failure: cannot connect to {address}: timed out out after {seconds}s")]
    Timeout {
        /// The address, or the name when the lookup did not end.
        address: String,
        /// The limit.
        seconds: u64,
    },
}

/// Connects to `target`. Of several addresses, each one that fails before the last is told to `failed`.
///
/// # Errors
/// See [`Error`]; all of them are about the destination or the network, never about a message.
pub async fn connect(
    target: &Remote,
    options: &Options,
    failed: &mut (dyn FnMut(&Error) + Send),
) -> Result<(Stream, Endpoint), Error> {
    let deadline = options.timeout.map(|limit| Instant::now() + limit);
    let seconds = options.timeout.map_or(0, |limit| limit.as_secs());
    let (stream, peer) = match target {
        Remote::Socks { version, far_host, far_port, proxy } => {
            let (mut stream, peer) = Box::pin(direct(proxy, options, deadline, failed)).await?;
            let far = Far { host: far_host, port: *far_port };
            let login = options.proxy_login.as_deref();
            let through = async { Ok(socks::connect(&mut stream, *version, far, login).await?) };
            within(deadline, through, SocksError::Timeout(seconds).into()).await?;
            (stream, peer)
        }
        target => direct(target, options, deadline, failed).await?,
    };
    if options.reset_on_close {
        // Only changes how the connection ends; not worth failing for.
        let _ = stream.reset_on_close();
    }
    Ok((stream, peer))
}

/// Connects without a proxy, or to one.
async fn direct(
    target: &Remote,
    options: &Options,
    deadline: Option<Instant>,
    failed: &mut (dyn FnMut(&Error) + Send),
) -> Result<(Stream, Endpoint), Error> {
    let seconds = options.timeout.map_or(0, |limit| limit.as_secs());
    let bind = options.bind;
    let timed_out = |address: String| Error::Timeout { address, seconds };
    match target {
        Remote::Unix(path) => {
            let timeout = timed_out(path.display().to_string());
            within(deadline, unix(path), timeout).await
        }
        Remote::Ip(address) => {
            if bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
                return Err(Error::Family);
            }
            let others = options.alternatives.of(*address);
            let last = others.last().map_or_else(String::new, |last| Endpoint::from(*last).to_string());
            let race = race(others, HOST_DELAY, move |address| attempt(address, bind), failed);
            within(deadline, race, timed_out(last)).await
        }
        Remote::Host { host, port } => {
            let lookup = resolve(host, *port, bind);
            let addresses = within(deadline, lookup, timed_out(format!("{host}:{port}"))).await?;
            let last = addresses.last().map_or_else(String::new, |last| Endpoint::from(*last).to_string());
            let race = race(addresses, ATTEMPT_DELAY, move |address| attempt(address, bind), failed);
            within(deadline, race, timed_out(last)).await
        }
        // An address has one proxy at most: the parser sees to it.
        Remote::Socks { .. } => Err(SocksError::InvalidResponse.into()),
    }
}

async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Error>>,
    timeout: Error,
) -> Result<T, Error> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.unwrap_or(Err(timeout)),
        None => work.await,
    }
}

async fn unix(path: &Path) -> Result<(Stream, Endpoint), Error> {
    let stream = UnixStream::connect(path).await.map_err(|error| Error::Refused {
        address: path.display().to_string(),
        detail: format!(": {}", crate::os::reason(&error)),
    })?;
    Ok((Stream::from(stream), Endpoint::Unix(Some(path.to_owned()))))
}

/// Looks a name up and puts the addresses in the order in which they are tried: the resolver's order, with the families
/// taking turns (RFC 8305 section 4).
///
/// # Errors
/// The name is not known, or has no address of the family of `bind`.
pub async fn resolve(host: &str, port: u16, bind: Option<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
    let family = match bind {
        Some(bind) if bind.is_ipv4() => "ipv4 ",
        Some(_) => "ipv6 ",
        None => "",
    };
    let lookup_error = |error: io::Error| {
        let reason = crate::os::reason(&error).to_lowercase();
        let reason = reason.trim_start_matches("failed to lookup address information: ").to_owned();
        Error::Lookup { host: host.to_owned(), family, reason }
    };
    let found: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .map_err(lookup_error)?
        .filter(|address| bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()))
        .collect();
    if found.is_empty() {
        return Err(Error::NoAddress(host.to_owned()));
    }
    Ok(interleave(&found))
}

fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut other): (Vec<_>, Vec<_>) = found.iter().partition(|a| a.is_ipv6() == first_is_v6);
    preferred.dedup();
    other.dedup();
    let mut order = Vec::with_capacity(found.len());
    let mut rest = other.into_iter();
    for address in preferred {
        order.push(address);
        order.extend(rest.next());
    }
    order.extend(rest);
    order.truncate(MAX_ADDRESSES);
    order
}

/// Starts one attempt after the other, each `delay` after the one before or as soon as that has failed; the first that
/// connects wins.
async fn race<T, A>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    attempt: impl Fn(SocketAddr) -> A,
    failed: &mut (dyn FnMut(&Error) + Send),
) -> Result<T, Error>
where
    T: Send + 'static,
    A: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut rest = addresses.into_iter();
    let mut last: Option<Error> = None;
    let mut next_start = Instant::now();
    loop {
        tokio::select! {
            biased;
            Some(done) = attempts.join_next(), if !attempts.is_empty() => match done {
                Ok(Ok(connected)) => {
                    if let Some(earlier) = last.take() {
                        failed(&earlier);
                    }
                    return Ok(connected);
                }
                Ok(Err(error)) => {
                    if let Some(earlier) = last.replace(error) {
                        failed(&earlier);
                    }
                    next_start = Instant::now();
                }
                Err(_) => {}
            },
            () = sleep_until(next_start), if rest.len() > 0 => {
                if let Some(address) = rest.next() {
                    attempts.spawn(attempt(address));
                    next_start = Instant::now() + delay;
                }
            }
            else => return Err(last.unwrap_or(Error::NoAddress(String::new()))),
        }
    }
}

async fn attempt(address: SocketAddr, bind: Option<SocketAddr>) -> Result<(Stream, Endpoint), Error> {
    let peer = Endpoint::from(address);
    let refused = |_| Error::Refused { address: peer.to_string(), detail: String::new() };
    let socket =
        if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(refused)?;
    if let Some(bind) = bind {
        socket.bind(bind).map_err(|error| Error::Bind(crate::os::reason(&error)))?;
    }
    let stream = socket.connect(address).await.map_err(refused)?;
    Ok((Stream::from(stream), peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn families_take_turns() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        let found =
            [parse("[::1]:1"), parse("[::2]:1"), parse("1.1.1.1:1"), parse("1.1.1.2:1"), parse("1.1.1.3:1")];
        let order: Vec<String> = interleave(&found).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "1.1.1.3:1"]);
    }

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|host| SocketAddr::from(([192, 0, 2, host], 25))).collect()
    }

    fn refused(address: SocketAddr) -> Error {
        Error::Refused { address: address.to_string(), detail: String::new() }
    }

    #[tokio::test]
    async fn a_dead_address_is_passed_over() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let addresses = vec![dead, live.local_addr().unwrap()];
        let (_stream, peer) =
            race(addresses, ATTEMPT_DELAY, |address| attempt(address, None), &mut |_| {}).await.unwrap();
        assert_eq!(peer, Endpoint::Ip(live.local_addr().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_addresses_are_overtaken_by_the_next_after_a_quarter_of_a_second() {
        let addresses = addresses(4);
        let answers = addresses[2];
        let began = Instant::now();
        let attempt = move |address| async move {
            if address != answers {
                std::future::pending::<()>().await;
            }
            Ok(address)
        };
        assert_eq!(race(addresses, ATTEMPT_DELAY, attempt, &mut |_| {}).await.unwrap(), answers);
        assert_eq!(began.elapsed(), 2 * ATTEMPT_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_are_tried_and_all_failures_told() {
        let addresses = addresses(3);
        let (began, mut told) = (Instant::now(), Vec::new());
        let attempt = |address| async move { Err::<(), _>(refused(address)) };
        let error = race(addresses, ATTEMPT_DELAY, attempt, &mut |error| told.push(error.to_string()))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "connect failure: cannot connect to 192.0.2.3:25");
        let expected =
            ["192.0.2.1:25", "192.0.2.2:25"].map(|a| format!("connect failure: cannot connect to {a}"));
        assert_eq!(told, expected);
        assert_eq!(began.elapsed(), Duration::ZERO, "a refusal is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_while_another_attempt_is_silent_starts_the_next_at_once() {
        let addresses = addresses(3);
        let (silent, answers) = (addresses[0], addresses[2]);
        let attempt = move |address| async move {
            if address == silent {
                std::future::pending::<()>().await;
            }
            if address == answers { Ok(address) } else { Err(refused(address)) }
        };
        let began = Instant::now();
        assert_eq!(race(addresses, ATTEMPT_DELAY, attempt, &mut |_| {}).await.unwrap(), answers);
        assert_eq!(began.elapsed(), ATTEMPT_DELAY);
    }

    #[tokio::test]
    async fn refusals_name_the_address() {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = connect(&Remote::Ip(dead), &Options::default(), &mut |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), format!("connect failure: cannot connect to {dead}"));
        let missing = Remote::Unix("/nonexistent/x.s".into());
        let error = connect(&missing, &Options::default(), &mut |_| {}).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "connect failure: cannot connect to /nonexistent/x.s: no such file or directory"
        );
    }

    #[tokio::test]
    async fn an_address_stands_for_its_alternatives() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let hop = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options::default();
        options.alternatives.remember(&[live, hop.local_addr().unwrap()]);
        let mut told = Vec::new();
        let failed = &mut |error: &Error| told.push(error.to_string());
        let (_stream, peer) = connect(&Remote::Ip(live), &options, failed).await.unwrap();
        assert_eq!(peer, Endpoint::Ip(hop.local_addr().unwrap()));
        assert_eq!(told, [format!("connect failure: cannot connect to {live}")]);
    }

    #[tokio::test]
    async fn a_silent_proxy_is_given_up_in_the_time_for_connecting() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Remote::parse(&format!("hop.test:25@{}", proxy.local_addr().unwrap()), None).unwrap();
        let options = Options { timeout: Some(Duration::from_secs(1)), ..Options::default() };
        let error = connect(&target, &options, &mut |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "socks error: timed out after 1s");
    }

    #[tokio::test]
    async fn the_local_address_restricts_the_family() {
        let options = Options { bind: Some("[::]:0".parse().unwrap()), ..Options::default() };
        let target = Remote::Ip("127.0.0.1:9".parse().unwrap());
        assert!(matches!(connect(&target, &options, &mut |_| {}).await, Err(Error::Family)));
    }

    #[tokio::test]
    async fn unknown_names_are_a_dns_error() {
        let target = Remote::Host { host: "nosuch.invalid".into(), port: 25 };
        let error = connect(&target, &Options::default(), &mut |_| {}).await.unwrap_err().to_string();
        assert!(error.starts_with("dns error: no such host: \"nosuch.invalid\" ("), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_covers_the_connect() {
        let error = within(
            Some(Instant::now() + Duration::from_secs(40)),
            std::future::pending::<Result<(), Error>>(),
            Error::Timeout { address: "192.0.2.1:25".into(), seconds: 40 },
        )
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "connect failure: cannot connect to 192.0.2.1:25: timed out out after 40s"
        );
    }
}
