//! The server's side: what clients are shown and asked for, and the handshake.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio_rustls::{TlsAcceptor, server};
use tokio_util::sync::CancellationToken;

use super::certificate::{Facts, to_pem};
use super::checked::ListedClient;
use super::crowd::{Crowd, MAX_HANDSHAKES};
use super::error::{HandshakeError, SetupError};
use super::hello::{self, First};
use super::provider::{provider, ticketer};
use super::reload::{self, Material};
use super::unchecked::AnyClient;
use super::verifier::Verifier;
use super::{Secured, files, names, versions, within};
use crate::config::tls::{ServerTls, Verify};
use crate::log::{self, Context, Server, TlsEvent};
use crate::net::address::Endpoint;
use crate::net::stream::Stream;

/// The application protocol of POP in a handshake (IANA registry; RFC 7301). SMTP has none.
const POP3: &[u8] = b"pop3";

/// OpenSSL's words for a client that is too old.
const UNSUPPORTED: &str = "unsupported protocol";

/// Step of the log lines.
const ACCEPT: &str = "accept";

/// Makes connections of clients secure. One for all servers of an instance.
#[derive(Debug)]
pub struct Acceptor {
    settings: RwLock<ServerTls>,
    current: RwLock<Arc<Current>>,
    crowd: Arc<Crowd>,
    /// Limit on a handshake.
    timeout: Option<Duration>,
    context: Context,
}

/// What new connections get.
#[derive(Debug)]
struct Current {
    smtp: Arc<rustls::ServerConfig>,
    pop: Arc<rustls::ServerConfig>,
    leaf: Facts,
}

impl Acceptor {
    /// Reads and checks the files that `settings` names. `timeout` limits each handshake.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn new(
        settings: &ServerTls,
        timeout: Option<Duration>,
        context: Context,
    ) -> Result<Arc<Self>, SetupError> {
        let current = Current::load(settings)?;
        Ok(Arc::new(Self {
            settings: RwLock::new(settings.clone()),
            current: RwLock::new(Arc::new(current)),
            crowd: Crowd::new(MAX_HANDSHAKES),
            timeout,
            context,
        }))
    }

    /// Whether a handshake can begin now, rather than wait behind very many others.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.crowd.has_room()
    }

    /// Makes a connection secure, as the server. What comes of it is logged for `context`.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub async fn accept(
        &self,
        server: Server,
        stream: Stream,
        peer: &Endpoint,
        context: &Context,
    ) -> Result<(Stream, Secured), HandshakeError> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let config = if server == Server::Pop { &current.pop } else { &current.smtp };
        // Apart, so that a session does not keep room for the handshake that it has behind it.
        let handshake = Box::pin(self.handshake(Arc::clone(config), stream));
        let done = match within(self.timeout, handshake).await {
            Some(done) => done,
            None => Err(HandshakeError::timeout(ACCEPT)),
        };
        match done {
            Ok(stream) => {
                let secured = secured(&stream);
                log::emit(context, &secured.event(peer));
                Ok((Stream::Tls(Box::new(stream.into())), secured))
            }
            Err(error) => {
                log::emit(context, &TlsEvent::Failed { text: error.to_string() }.into());
                Err(error)
            }
        }
    }

    /// Takes new settings over and reads the files again, for connections from now on. If they cannot be used all stays
    /// as it is, which is logged.
    pub fn reload(&self, settings: &ServerTls) {
        match Current::load(settings) {
            Ok(current) => {
                *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings.clone();
                self.replace(current);
            }
            Err(error) => self.not_replaced(&error),
        }
    }

    /// Follows the files until `stop` is cancelled: new ones are used for connections from then on, and certificates that
    /// run out are reported, at once and every day.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        reload::watch(self, stop).await;
    }

    async fn handshake(
        &self,
        config: Arc<rustls::ServerConfig>,
        stream: Stream,
    ) -> Result<server::TlsStream<Stream>, HandshakeError> {
        // A silent peer costs no more than its socket.
        let look = stream.peek(hello::LOOK_AT, |bytes| (!bytes.is_empty()).then(|| First::of(bytes)));
        let first = match look.await {
            Ok(None) => return Err(HandshakeError::ended(ACCEPT)),
            Ok(Some(First::NotTls)) => return Err(HandshakeError::clear_text(ACCEPT)),
            Ok(Some(first)) => first,
            Err(error) => return Err(HandshakeError::from_io(ACCEPT, &error)),
        };
        let place = self.crowd.enter().await;
        tokio::select! {
            biased;
            done = TlsAcceptor::from(config).accept(stream) => done.map_err(|error| explain(&first, &error)),
            () = place.lost() => Err(HandshakeError::new(ACCEPT, "too many handshakes")),
        }
    }
}

impl Material for Acceptor {
    fn paths(&self) -> Vec<PathBuf> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        let files = &settings.certificate;
        let mut paths = vec![files.key.clone(), files.chain.clone()];
        if let Verify::Authorities(path) = &settings.verify {
            paths.push(path.clone());
        }
        paths.dedup();
        paths
    }

    fn read_again(&self) {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
        match Current::load(&settings) {
            Ok(current) => self.replace(current),
            Err(error) => self.not_replaced(&error),
        }
    }

    fn report_expiry(&self) {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        reload::report_expiry(&current.leaf, &settings.certificate.chain, &self.context);
    }
}

impl Acceptor {
    fn replace(&self, current: Current) {
        let renewed = {
            let mut old = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let renewed = old.leaf != current.leaf;
            *old = Arc::new(current);
            renewed
        };
        if renewed {
            let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
            let file = settings.certificate.chain.display().to_string();
            log::emit(&self.context, &TlsEvent::Reloaded { file }.into());
            drop(settings);
            self.report_expiry();
        }
    }

    fn not_replaced(&self, error: &SetupError) {
        log::emit(&self.context, &TlsEvent::ReloadFailed { reason: error.to_string() }.into());
    }
}

impl Current {
    fn load(settings: &ServerTls) -> Result<Self, SetupError> {
        let provider = provider()?;
        let identity = files::identity(&settings.certificate, &provider)?;
        let other = |error: rustls::Error| SetupError::Other(error.to_string());
        let algorithms = provider.signature_verification_algorithms;
        let listed = |authorities| -> Result<Arc<dyn ClientCertVerifier>, SetupError> {
            Ok(Arc::new(Verifier::new(ListedClient::new(authorities, &provider)?, algorithms)))
        };
        let verify = if settings.keywords.no_verify { &Verify::None } else { &settings.verify };
        let verifier = match verify {
            Verify::None => WebPkiClientVerifier::no_client_auth(),
            Verify::Absent => Arc::new(Verifier::new(AnyClient, algorithms)),
            Verify::System | Verify::SystemAndName => listed(files::system_authorities()?)?,
            Verify::Authorities(path) => listed(files::authorities(path, &mut reload::skipped)?)?,
        };
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(&settings.keywords))
            .map_err(other)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key)));
        config.ignore_client_order = settings.keywords.server_preference;
        // Tickets need no memory here; early data, which could be sent twice, stays off.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if settings.keywords.no_tickets || settings.keywords.no_resumption {
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = ticketer().map_err(other)?;
        }
        let mut pop = config.clone();
        pop.alpn_protocols = vec![POP3.to_vec()];
        Ok(Self { smtp: Arc::new(config), pop: Arc::new(pop), leaf: identity.facts })
    }
}

fn secured(stream: &server::TlsStream<Stream>) -> Secured {
    let (_, connection) = stream.get_ref();
    Secured {
        protocol: names::protocol(connection.protocol_version()),
        cipher: names::cipher(connection.negotiated_cipher_suite().map(|suite| suite.suite())),
        certificate: connection.peer_certificates().and_then(<[_]>::first).map(|leaf| to_pem(leaf)),
    }
}

/// Adds what the client has offered to an error that is about that.
fn explain(first: &First, error: &std::io::Error) -> HandshakeError {
    let mut error = HandshakeError::from_io(ACCEPT, error);
    if first.is_old() {
        // Such clients lack other things as well, and rustls may stumble over those first.
        UNSUPPORTED.clone_into(&mut error.reason);
    }
    let offer = match error.reason.as_str() {
        UNSUPPORTED => first.version().map(|version| format!("{version} at most")),
        "no shared cipher" => first.suites(),
        _ => None,
    };
    if let Some(offer) = offer {
        error.reason = format!("{}: peer offers {offer}", error.reason);
    }
    error
}
