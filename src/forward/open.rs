//! Making a session with a next hop: connect, TLS, greeting, EHLO.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::address::Remote;
use crate::config::tls::TlsStart;
use crate::forward::basis::Basis;
use crate::forward::config::Secure;
use crate::forward::deliver;
use crate::forward::destination::Destination;
use crate::forward::engine::Engine;
use crate::net::address::Endpoint;
use crate::net::client::{Connection, Opened};
use crate::net::connect;
use crate::net::ledger::Entry;
use crate::net::stream::Stream;
use crate::smtp::client::{ClientConfig, Event, FaultKind, Session};

/// A session that is ready for a message.
pub(crate) struct Open {
    pub(crate) connection: Connection<Stream>,
    /// The peer's address.
    pub(crate) relay: String,
    /// What it was made with.
    pub(crate) basis: Basis,
}

/// Connects, encrypts and says EHLO, or tells what went wrong. The connection is written down in `line`.
pub(crate) async fn open(
    engine: &Engine,
    destination: &Destination,
    line: Option<&Entry>,
) -> Result<Open, String> {
    let basis = Basis::of(engine, destination).await;
    let config = engine.config();
    let mut login = match &config.accounts {
        Some(accounts) => accounts.login(&destination.selector).await?,
        None => None,
    };
    let mut options = config.connect.clone();
    if let (Some(accounts), Remote::Socks { proxy, .. }) = (&config.accounts, &destination.address) {
        options.proxy_login = accounts.at_proxy(proxy).await?.map(Arc::new);
    }
    let limit = config.connect.timeout;
    // One limit for lookup, connect and handshake together.
    let deadline = limit.map(|limit| Instant::now() + limit);
    let attempts = &mut deliver::attempts(engine);
    let (mut stream, peer) = connect::connect(&destination.address, &options, attempts)
        .await
        .map_err(|error| error.to_string())?;
    if let Some(line) = line {
        line.connected(stream.local(), &peer);
    }
    if let Some(login) = &mut login {
        // Behind a proxy on this machine is another one.
        let direct = !matches!(destination.address, Remote::Socks { .. });
        login.local = direct && peer.ip().is_none_or(|ip| ip.to_canonical().is_loopback());
    }
    let at_once = config.tls.as_ref().filter(|tls| tls.start == TlsStart::AtOnce);
    if let Some(tls) = at_once {
        stream = secure(tls, stream, destination, &peer, deadline).await?;
    }
    let client = client_config(&config.client, config.policy.compat26, &stream);
    let mut session = Session::new(client, Instant::now().into_std()).with_login(login);
    if at_once.is_some() {
        session.bind(stream.exporter());
        session.secured(Instant::now().into_std());
    }
    let mut connection = Connection::new(stream, session);
    loop {
        match ready(engine, destination, &mut connection).await? {
            Opened::Ready => break,
            Opened::NewToken { entry } => {
                let fresh = match &config.accounts {
                    Some(accounts) => accounts.fresh_token(&destination.selector, entry).await,
                    None => None,
                };
                connection.renew(fresh);
                continue;
            }
            Opened::StartTls => {}
        }
        // The session asks only where there is TLS, and only once.
        let Some(tls) = &config.tls else { return Err(IN_HANDSHAKE.to_owned()) };
        let (stream, mut session) = connection.into_parts();
        let deadline = limit.map(|limit: Duration| Instant::now() + limit);
        let stream = secure(tls, stream, destination, &peer, deadline).await?;
        session.bind(stream.exporter());
        connection = Connection::secured(stream, session);
    }
    Ok(Open { connection, relay: peer.to_string(), basis })
}

/// The reason of a session that ended in a handshake; the log line before it says why.
const IN_HANDSHAKE: &str = "peer disconnected: ssl connect";

async fn ready(
    engine: &Engine,
    destination: &Destination,
    connection: &mut Connection<Stream>,
) -> Result<Opened, String> {
    let accounts = engine.config().accounts.clone();
    let mut trace = deliver::trace(engine, None);
    let mut log = |event| {
        let about_host = matches!(event, Event::SecretInClear);
        let host = host(&destination.address);
        if !about_host || accounts.as_ref().is_none_or(|accounts| accounts.is_first_warning(&host)) {
            trace(event);
        }
    };
    connection.ready(&mut log).await.map_err(|fault| {
        if let (FaultKind::Auth(_), Some(accounts)) = (&fault.kind, &accounts) {
            accounts.refused();
        }
        fault.to_string()
    })
}

async fn secure(
    tls: &Secure,
    stream: Stream,
    destination: &Destination,
    peer: &Endpoint,
    deadline: Option<Instant>,
) -> Result<Stream, String> {
    let host = host(&destination.address);
    match tls.connector.connect(stream, &host, peer, deadline).await {
        Ok((stream, _)) => Ok(stream),
        Err(error) if error.timed_out => Err("secure connection timeout".to_owned()),
        Err(_) => Err(IN_HANDSHAKE.to_owned()),
    }
}

/// What the certificate of a next hop is to be for.
fn host(target: &Remote) -> String {
    match target {
        Remote::Host { host, .. } => host.clone(),
        Remote::Ip(address) => address.ip().to_string(),
        Remote::Unix(path) => path.display().to_string(),
        Remote::Socks { far_host, .. } => far_host.clone(),
    }
}

/// The domain is the EHLO argument if it looks like one; else our address on this connection, as a literal
/// (RFC 5321 section 4.1.4), or as 2.6 had it.
fn client_config(config: &ClientConfig, compat26: bool, stream: &Stream) -> Arc<ClientConfig> {
    if config.ehlo_name.contains('.') {
        return Arc::new(config.clone());
    }
    let name = match stream.local().and_then(|local| local.ip()) {
        Some(ip) if compat26 => ip.to_string(),
        Some(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => config.ehlo_name.clone(),
    };
    Arc::new(ClientConfig { ehlo_name: name, ..config.clone() })
}
