//! The client's side: how much a next hop has to prove, what it is shown, and the handshake.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, Error};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsConnector, client};
use tokio_util::sync::CancellationToken;

use super::certificate::{Facts, to_pem};
use super::checked::{ListedServer, NameMismatch, Wanted};
use super::error::{HandshakeError, SetupError};
use super::provider::provider;
use super::reload::{self, Material};
use super::unchecked::AnyServer;
use super::verifier::{JudgesServers as _, Verifier};
use super::{Secured, files, names, versions};
use crate::config::tls::{ClientTls, Verify};
use crate::log::{self, Context, TlsEvent};
use crate::net::address::Endpoint;
use crate::net::stream::Stream;

/// Step of the log lines.
const CONNECT: &str = "connect";

/// Next hops that are remembered as not verified.
const MAX_TOLD: usize = 1000;

/// Makes connections to next hops secure. One for an instance.
#[derive(Debug)]
pub struct Connector {
    settings: RwLock<ClientTls>,
    current: RwLock<Arc<Current>>,
    /// Next hops of which it has been said that they are not verified.
    told: Mutex<HashSet<String>>,
    /// What they are measured by; read when it is first needed.
    report: OnceCell<Option<ListedServer>>,
    context: Context,
}

/// What new connections get.
#[derive(Debug)]
struct Current {
    config: Arc<rustls::ClientConfig>,
    /// Our own certificate.
    leaf: Option<Facts>,
    server_name: Option<ServerName<'static>>,
    verify_name: Option<String>,
    /// Nothing is required of the certificate, and what is wrong with it is only said.
    only_reports: bool,
}

impl Connector {
    /// Reads and checks the files that `settings` names.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn new(settings: &ClientTls, context: Context) -> Result<Arc<Self>, SetupError> {
        let current = Current::load(settings)?;
        Ok(Arc::new(Self {
            settings: RwLock::new(settings.clone()),
            current: RwLock::new(Arc::new(current)),
            told: Mutex::default(),
            report: OnceCell::new(),
            context,
        }))
    }

    /// Makes a connection to `host` secure, as the client, before the deadline. What comes of it is logged.
    ///
    /// `host` is a name or an address, or anything else for a next hop that has neither.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub async fn connect(
        &self,
        stream: Stream,
        host: &str,
        peer: &Endpoint,
        deadline: Option<Instant>,
    ) -> Result<(Stream, Secured), HandshakeError> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let name = current.server_name.clone().unwrap_or_else(|| reference(host));
        // Apart, so that a session does not keep room for the handshake that it has behind it.
        let handshake =
            Box::pin(TlsConnector::from(Arc::clone(&current.config)).connect(name.clone(), stream));
        let done = match deadline {
            Some(deadline) => timeout_at(deadline, handshake).await,
            None => Ok(handshake.await),
        };
        let stream = match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                if let (Some(name), Some(subject)) = (&current.verify_name, mismatch(&error)) {
                    self.tell_name(subject, name, false);
                }
                return Err(self.failed(HandshakeError::from_io(CONNECT, &error)));
            }
            Err(_) => return Err(self.failed(HandshakeError::timeout(CONNECT))),
        };
        let secured = secured(&stream);
        log::emit(&self.context, &secured.event(peer));
        if let Some(name) = &current.verify_name {
            let leaf = certificates(&stream).first().and_then(|leaf| Facts::read(leaf));
            self.tell_name(&leaf.map(|leaf| leaf.subject).unwrap_or_default(), name, true);
        }
        if current.only_reports {
            self.report(&stream, host, &name.to_str()).await;
        }
        Ok((Stream::Tls(Box::new(stream.into())), secured))
    }

    /// Takes new settings over and reads the files again, for connections from now on. If they cannot be used all stays
    /// as it is, which is logged.
    pub fn reload(&self, settings: &ClientTls) {
        match Current::load(settings) {
            Ok(current) => {
                *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings.clone();
                self.replace(current);
            }
            Err(error) => self.not_replaced(&error),
        }
    }

    /// Follows the files until `stop` is cancelled, as the server's side does.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        reload::watch(self, stop).await;
    }

    fn failed(&self, error: HandshakeError) -> HandshakeError {
        log::emit(&self.context, &TlsEvent::Failed { text: error.to_string() }.into());
        error
    }

    fn tell_name(&self, subject: &str, name: &str, good: bool) {
        let (subject, name) = (subject.to_owned(), name.to_owned());
        log::emit(&self.context, &TlsEvent::NameChecked { subject, name, good }.into());
    }

    /// Says once for each next hop what is wrong with its certificate, when nothing depends on that.
    async fn report(&self, stream: &client::TlsStream<Stream>, host: &str, name: &str) {
        if self.told().contains(host) {
            return;
        }
        let measure = self.report.get_or_init(|| async { spawn_blocking(measure).await.ok().flatten() });
        let wrong = match (measure.await, certificates(stream)) {
            (Some(measure), [leaf, chain @ ..]) => {
                measure.judge(leaf, chain, name, UnixTime::now()).err().map(|error| match error {
                    Error::InvalidCertificate(error) => super::error::certificate(&error),
                    other => other.to_string(),
                })
            }
            (None, _) => Some("this system has no certificate authorities".to_owned()),
            (Some(_), []) => Some("there is none".to_owned()),
        };
        let Some(reason) = wrong else { return };
        let mut told = self.told();
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        if told.insert(host.to_owned()) {
            drop(told);
            log::emit(&self.context, &TlsEvent::NotVerified { host: host.to_owned(), reason }.into());
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, current: Current) {
        let renewed = {
            let mut old = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let renewed = old.leaf != current.leaf;
            *old = Arc::new(current);
            renewed
        };
        if renewed && let Some(file) = self.certificate_file() {
            log::emit(&self.context, &TlsEvent::Reloaded { file: file.display().to_string() }.into());
            self.report_expiry();
        }
    }

    fn not_replaced(&self, error: &SetupError) {
        log::emit(&self.context, &TlsEvent::ReloadFailed { reason: error.to_string() }.into());
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        settings.certificate.as_ref().map(|files| files.chain.clone())
    }
}

impl Material for Connector {
    fn paths(&self) -> Vec<PathBuf> {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        let files = settings.certificate.iter().flat_map(|files| [files.key.clone(), files.chain.clone()]);
        let mut paths: Vec<PathBuf> = files.collect();
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
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if let (Some(leaf), Some(file)) = (&current.leaf, self.certificate_file()) {
            reload::report_expiry(leaf, &file, &self.context);
        }
    }
}

impl Current {
    fn load(settings: &ClientTls) -> Result<Self, SetupError> {
        let provider = provider()?;
        let other = |error: Error| SetupError::Other(error.to_string());
        let identity = match &settings.certificate {
            Some(files) => Some(files::identity(files, &provider)?),
            None => None,
        };
        let server_name =
            match settings.server_name.as_deref() {
                Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|_| {
                    SetupError::Other(format!("invalid --client-tls-server-name: \"{name}\""))
                })?),
                None => None,
            };
        let verify = if settings.keywords.no_verify { &Verify::None } else { &settings.verify };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(&settings.keywords))
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(settings, verify)?);
        let (mut config, leaf) = match identity {
            Some(identity) => {
                let resolver = Arc::new(SingleCertAndKey::from(identity.key));
                (builder.with_client_cert_resolver(resolver), Some(identity.facts))
            }
            None => (builder.with_no_client_auth(), None),
        };
        if settings.keywords.no_resumption || settings.keywords.no_tickets {
            config.resumption = Resumption::disabled();
        }
        Ok(Self {
            config: Arc::new(config),
            leaf,
            server_name,
            verify_name: settings.verify_name.clone().filter(|_| !settings.keywords.no_verify),
            only_reports: *verify == Verify::Absent,
        })
    }
}

fn verifier(settings: &ClientTls, verify: &Verify) -> Result<Arc<dyn ServerCertVerifier>, SetupError> {
    let algorithms = provider()?.signature_verification_algorithms;
    let authorities = match verify {
        Verify::Absent | Verify::None => return Ok(Arc::new(Verifier::new(AnyServer, algorithms))),
        Verify::System | Verify::SystemAndName => files::system_authorities()?,
        Verify::Authorities(path) => files::authorities(path, &mut reload::skipped)?,
    };
    let host = *verify == Verify::SystemAndName || settings.keywords.verify_host;
    let wanted = match &settings.verify_name {
        Some(name) => Wanted::Name(name.clone()),
        None if host => Wanted::Host,
        None => Wanted::AnyName,
    };
    Ok(Arc::new(Verifier::new(ListedServer { authorities, wanted, algorithms }, algorithms)))
}

/// What certificates are measured by when nothing is required of them: what `--client-tls-verify=<auto>` would require.
fn measure() -> Option<ListedServer> {
    let authorities = files::system_authorities().ok()?;
    let algorithms = provider().ok()?.signature_verification_algorithms;
    Some(ListedServer { authorities, wanted: Wanted::Host, algorithms })
}

/// The name of the handshake. An address stands for no name: it is not sent.
fn reference(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

fn certificates(stream: &client::TlsStream<Stream>) -> &[rustls::pki_types::CertificateDer<'static>] {
    stream.get_ref().1.peer_certificates().unwrap_or_default()
}

fn secured(stream: &client::TlsStream<Stream>) -> Secured {
    let (_, connection) = stream.get_ref();
    Secured {
        protocol: names::protocol(connection.protocol_version()),
        cipher: names::cipher(connection.negotiated_cipher_suite().map(|suite| suite.suite())),
        certificate: certificates(stream).first().map(|leaf| to_pem(leaf)),
    }
}

/// The subject of a certificate whose name was the only thing that is wrong with it.
fn mismatch(error: &std::io::Error) -> Option<&str> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return None };
    other.0.downcast_ref::<NameMismatch>().map(|mismatch| mismatch.0.as_str())
}
