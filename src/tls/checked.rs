//! Verifiers that check the chain of certificates, with what the built-in ones do not have:
//!
//! - a leaf that is itself in the list of authorities is good within its validity, whatever it says of itself. Users were
//!   told to make exactly that: a self-signed certificate, listed with the other side;
//! - the chain of a server can be checked without its name, and the name against one that was configured;
//! - the common name can stand for the alternative names that old certificates lack.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::certificate::Facts;
use super::error::{NAME_MISMATCH, SetupError};
use super::files::Authorities;
use super::names::{self, CommonName};
use super::signature;

/// Requires a certificate of a listed authority from clients.
#[derive(Debug)]
pub(super) struct ListedClient {
    authorities: Authorities,
    chain: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ListedClient {
    pub(super) fn new(authorities: Authorities, provider: &Arc<CryptoProvider>) -> Result<Self, SetupError> {
        let roots = Arc::clone(&authorities.roots);
        let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| SetupError::Other(error.to_string()))?;
        Ok(Self { authorities, chain, algorithms: provider.signature_verification_algorithms })
    }
}

impl ClientCertVerifier for ListedClient {
    /// None: a system's list would be some 20 kB in every handshake, and clients have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.authorities.certificates.contains(leaf) {
            return valid(leaf, now).map(|_| ClientCertVerified::assertion());
        }
        self.chain.verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_1_2(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_1_3(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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

impl ListedServer {
    /// Checks chain and name.
    pub(super) fn check(
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

impl ServerCertVerifier for ListedServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, chain, &name.to_str(), now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_1_2(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_1_3(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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
