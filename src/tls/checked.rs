//! Judges that check the chain of certificates, with what the built-in ones do not have:
//!
//! - a leaf that is itself in the list of authorities is good within its validity, whatever it says of itself. Users were
//!   told to make exactly that: a self-signed certificate, listed with the other side;
//! - the chain of a server can be checked without its name, and the name against one that was configured;
//! - the common name can stand for the alternative names that old certificates lack.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error, OtherError};

use super::certificate::Facts;
use super::error::{NAME_MISMATCH, SetupError};
use super::files::Authorities;
use super::names::{self, CommonName};
use super::verifier::{JudgesClients, JudgesServers};

/// Requires a certificate of a listed authority from clients.
#[derive(Debug)]
pub(super) struct ListedClient {
    authorities: Authorities,
    chain: Arc<dyn ClientCertVerifier>,
}

impl ListedClient {
    pub(super) fn new(authorities: Authorities, provider: &Arc<CryptoProvider>) -> Result<Self, SetupError> {
        let roots = Arc::clone(&authorities.roots);
        let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| SetupError::Other(error.to_string()))?;
        Ok(Self { authorities, chain })
    }
}

impl JudgesClients for ListedClient {
    fn requires_one(&self) -> bool {
        true
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.authorities.certificates.contains(leaf) {
            return valid(leaf, now).map(drop);
        }
        self.chain.verify_client_cert(leaf, chain, now).map(drop)
    }
}

/// Which name a server's certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any.
    AnyName,
    /// This one (`--client-tls-verify-name`).
    Name(String),
    /// That of the connection.
    Host,
}

/// Requires a certificate of a listed authority from a server.
#[derive(Debug)]
pub(super) struct ListedServer {
    pub(super) authorities: Authorities,
    pub(super) wanted: Wanted,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl JudgesServers for ListedServer {
    /// Checks chain and name.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &str,
        now: UnixTime,
    ) -> Result<(), Error> {
        let facts = if self.authorities.certificates.contains(leaf) {
            valid(leaf, now)?
        } else {
            let parsed = ParsedCertificate::try_from(leaf)?;
            let roots = &self.authorities.roots;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, now, self.algorithms.all)?;
            Facts::read(leaf).ok_or(CertificateError::BadEncoding)?
        };
        let good = match &self.wanted {
            Wanted::AnyName => true,
            Wanted::Name(name) => names::matches(&facts, name, CommonName::Counts),
            Wanted::Host => names::matches(&facts, host, CommonName::LastResort),
        };
        if good {
            Ok(())
        } else {
            Err(CertificateError::Other(OtherError(Arc::new(NameMismatch(facts.subject)))).into())
        }
    }
}

/// A good certificate for somebody else, with its subject.
#[derive(Debug, thiserror::Error)]
#[error("{NAME_MISMATCH}")]
pub(super) struct NameMismatch(pub(super) String);

/// The facts of a certificate that is within its validity.
fn valid(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<Facts, Error> {
    let facts = Facts::read(leaf).ok_or(CertificateError::BadEncoding)?;
    let at = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    match facts.is_valid_at(at) {
        true => Ok(facts),
        false if at < facts.not_before => Err(CertificateError::NotValidYet.into()),
        false => Err(CertificateError::Expired.into()),
    }
}
